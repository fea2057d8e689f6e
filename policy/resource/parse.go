package resource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A File is what Parse has read.
type File struct {
	Resources []Resource
	Alarms    []Alarm // of documents that were left out; see also Resource.Alarms
}

// maxWrong is after how many errors Parse stops looking for more.
const maxWrong = 20

// Parse reads YAML (or JSON) of any number of documents. name stands for the
// file in messages. If anything is wrong there is no File, and the error joins
// *Errors, one for each thing that is wrong, that wrap ErrInvalid.
func Parse(name string, text []byte) (*File, error) {
	f := &File{}
	var wrong []error
	docs := yaml.NewDecoder(bytes.NewReader(text))
	for number := 1; len(wrong) < maxWrong; number++ {
		var doc yaml.Node
		err := docs.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		d := &decoder{file: name, document: number}
		if err != nil {
			wrong = append(wrong, d.syntax(err))
			break
		}
		if len(doc.Content) > 0 && doc.Content[0].Tag != "!!null" {
			wrong = append(wrong, f.document(d, doc.Content[0])...)
		}
	}
	if len(wrong) == 0 {
		wrong = duplicates(f.Resources)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return f, nil
}

// lineOf finds the place in the YAML library's messages.
var lineOf = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func (d *decoder) syntax(err error) error {
	e := &Error{Place: Place{d.file, 1, 1, d.document}, What: err.Error()}
	if m := lineOf.FindStringSubmatch(e.What); m != nil {
		e.What = "not YAML: " + m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			e.Line = line
		}
	}
	return e
}

// Duplicates returns an error that names all resources that are there twice.
func Duplicates(all []Resource) error { return errors.Join(duplicates(all)...) }

func duplicates(all []Resource) (wrong []error) {
	first := map[Ref]Place{}
	for _, r := range all {
		if at, twice := first[r.Ref]; twice {
			wrong = append(wrong, &Error{r.At, "metadata.name", fmt.Sprintf("%v is there already, at %v", r.Ref, at)})
			continue
		}
		first[r.Ref] = r.At
	}
	return wrong
}

// document reads one document, which may be a List of resources.
func (f *File) document(d *decoder, n *yaml.Node) []error {
	h := d.head(n)
	if len(d.wrong) > 0 {
		return d.wrong
	}
	if !strings.HasSuffix(h.Kind, "List") {
		return f.resource(d, n, h)
	}
	var wrong []error
	for _, item := range itemsOf(n) {
		one := &decoder{file: d.file, document: d.document}
		head := one.head(item)
		if strings.HasSuffix(head.Kind, "List") {
			one.add("kind", "a list in a list")
		}
		if len(one.wrong) == 0 {
			one.wrong = f.resource(one, item, head)
		}
		wrong = append(wrong, one.wrong...)
	}
	return wrong
}

func itemsOf(n *yaml.Node) []*yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "items" && n.Content[i+1].Kind == yaml.SequenceNode {
			return n.Content[i+1].Content
		}
	}
	return nil
}

// head reads what kind of resource it is. What is wrong with its metadata
// matters only if it is a kind that is known.
func (d *decoder) head(n *yaml.Node) (h head) {
	d.at = map[string]spot{"": spotOf(n)}
	d.mapping(n, reflect.ValueOf(&h).Elem(), "")
	if h.Kind == "" && len(d.wrong) == 0 {
		d.add("kind", "expected the kind of a resource, found none")
	}
	return h
}

// A kind is one that is known.
type kind struct {
	group, version string // version "" for any
	name           string
	namespaced     bool
	read           func(d *decoder, n *yaml.Node, r *Resource)
}

var kinds = []kind{
	{Kube, "v1", "NetworkPolicy", true, readKubePolicy},
	{Calico, "", "NetworkPolicy", true, readCalicoPolicy},
	{Calico, "", "GlobalNetworkPolicy", false, readCalicoPolicy},
	{Calico, "", "NetworkSet", true, readNets},
	{Calico, "", "GlobalNetworkSet", false, readNets},
	{Calico, "", "Tier", false, readTier},
	{Calico, "", "Profile", false, readProfile},
	{Calico, "", "HostEndpoint", false, readHost},
	{Core, "v1", "Namespace", false, readLabels},
	{Core, "v1", "ServiceAccount", true, readLabels},
	{Core, "v1", "Pod", true, readPod},
	{Discovery, "v1", "EndpointSlice", true, readSlice},
}

func groupOf(apiVersion string) (group, version string) {
	group, version, found := strings.Cut(apiVersion, "/")
	if !found {
		return Core, apiVersion
	}
	if group == "crd.projectcalico.org" {
		group = Calico
	}
	return group, version
}

// resource reads one resource and adds it to the file.
func (f *File) resource(d *decoder, n *yaml.Node, h head) []error {
	group, version := groupOf(h.APIVersion)
	at := d.place(spotOf(n))
	i := slices.IndexFunc(kinds, func(k kind) bool {
		return k.group == group && k.name == h.Kind && (k.version == "" || k.version == version)
	})
	if i < 0 {
		ref := Ref{group, h.Kind, h.Metadata.Namespace, h.Metadata.Name}
		f.Alarms = append(f.Alarms, Alarm{at, ref, "", fmt.Sprintf("%s %s is not known here: left out", h.APIVersion, h.Kind)})
		return nil
	}
	r := Resource{Ref: Ref{Group: group, Kind: h.Kind, Name: h.Metadata.Name}, At: at, Labels: h.Metadata.Labels}
	if h.Metadata.Name == "" {
		d.add("metadata.name", "expected a name, found none")
	}
	if kinds[i].namespaced {
		r.Namespace = h.Metadata.Namespace
		if r.Namespace == "" {
			r.Namespace = "default" // as kubectl's
		}
	}
	if group == Calico { // in the tier default, "default." is said or left out
		r.Name = strings.TrimPrefix(r.Name, "default.")
	}
	d.ref = r.Ref
	kinds[i].read(d, n, &r)
	r.Alarms = d.alarms
	f.Resources = append(f.Resources, r)
	return d.wrong
}

// spec reads a whole object whose fields are all known.
func spec[T any](d *decoder, n *yaml.Node) T {
	var o object[T]
	d.mapping(n, reflect.ValueOf(&o).Elem(), "")
	return o.Spec
}

func readLabels(*decoder, *yaml.Node, *Resource) {}
