package resource

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skein-dataplane/skein/internal/strictyaml"
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
	docs := strictyaml.NewReader(name, bytes.NewReader(text), rules)
	for d, ok := docs.Next(); ok && len(wrong) < maxWrong; d, ok = docs.Next() {
		if d.Root().Given() {
			f.document(d)
		}
		wrong = append(wrong, d.Wrong...)
	}
	if len(wrong) == 0 {
		wrong = duplicates(f.Resources)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return f, nil
}

// Duplicates returns an error that names all resources that are there twice.
func Duplicates(all []Resource) error { return errors.Join(duplicates(all)...) }

func duplicates(all []Resource) (wrong []error) {
	first := map[Ref]Place{}
	for _, r := range all {
		if at, twice := first[r.Ref]; twice {
			wrong = append(wrong, &Error{Place: r.At, Field: "metadata.name", What: fmt.Sprintf("%v is there already, at %v", r.Ref, at)})
			continue
		}
		first[r.Ref] = r.At
	}
	return wrong
}

// document reads one document, which may be a List of resources.
func (f *File) document(d *strictyaml.Document) {
	h := readHead(d)
	switch {
	case len(d.Wrong) > 0:
	case strings.HasSuffix(h.Kind, "List"):
		for _, item := range d.Root().Peek("items").Items() {
			one := item.Apart()
			h := readHead(one)
			if strings.HasSuffix(h.Kind, "List") {
				one.Fail("kind", "a list in a list")
			}
			if len(one.Wrong) == 0 {
				f.resource(one, h)
			}
			d.Wrong = append(d.Wrong, one.Wrong...)
		}
	default:
		f.resource(d, h)
	}
}

// readHead reads what kind of resource it is. What is wrong with its metadata
// matters only if it is a kind that is known.
func readHead(d *strictyaml.Document) (h head) {
	d.Root().Into(&h)
	if h.Kind == "" && len(d.Wrong) == 0 {
		d.Fail("kind", "expected the kind of a resource, found none")
	}
	return h
}

// A kind is one that is known.
type kind struct {
	group, version string // version "" for any
	name           string
	namespaced     bool
	read           func(d *decoder, r *Resource)
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
func (f *File) resource(doc *strictyaml.Document, h head) {
	group, version := groupOf(h.APIVersion)
	at := doc.Root().Place()
	i := slices.IndexFunc(kinds, func(k kind) bool {
		return k.group == group && k.name == h.Kind && (k.version == "" || k.version == version)
	})
	if i < 0 {
		ref := Ref{group, h.Kind, h.Metadata.Namespace, h.Metadata.Name}
		f.Alarms = append(f.Alarms, Alarm{at, ref, "", fmt.Sprintf("%s %s is not known here: left out", h.APIVersion, h.Kind)})
		return
	}
	r := Resource{Ref: Ref{Group: group, Kind: h.Kind, Name: h.Metadata.Name}, At: at, Labels: h.Metadata.Labels}
	if h.Metadata.Name == "" {
		doc.Fail("metadata.name", "expected a name, found none")
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
	d := &decoder{Document: doc, ref: r.Ref}
	kinds[i].read(d, &r)
	r.Alarms = d.alarms
	f.Resources = append(f.Resources, r)
}

// spec reads a whole object whose fields are all known.
func spec[T any](d *decoder) T {
	var o object[T]
	d.Root().Into(&o)
	return o.Spec
}

func readLabels(*decoder, *Resource) {}
