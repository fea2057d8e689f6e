package strictyaml

import (
	"reflect"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// Types of fields that Into fills in their own way.
type (
	// Ignored is a field that says nothing that matters.
	Ignored struct{}
	// Present is true if the field is there, whatever it says.
	Present bool
	// Open as the type of a struct's first field allows fields not listed.
	Open struct{}
	// NumberOrText is what it says.
	NumberOrText string
)

// Into fills what to points to: structs, whose fields go by their tags yaml,
// slices, maps with texts as keys, and plain values. What is not given stays.
func (v Value) Into(to any) { v.into(reflect.ValueOf(to).Elem()) }

func (v Value) into(to reflect.Value) {
	if !v.Given() {
		return
	}
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		v.into(to.Elem())
	case reflect.Struct:
		if to.Type() != reflect.TypeFor[Ignored]() {
			v.intoStruct(to)
		}
	case reflect.Slice:
		v.intoSlice(to)
	case reflect.Map:
		v.intoMap(to)
	default:
		v.intoScalar(to)
	}
}

func (v Value) intoStruct(to reflect.Value) {
	names := namesOf(to.Type())
	v.mapping("fields", func(name string) func(Value) {
		for i, n := range names {
			if n == name && n != "" {
				return func(v Value) { v.into(to.Field(i)) }
			}
		}
		return nil
	}, func(key Value) {
		switch words := v.doc.rules.Unknown; {
		case to.NumField() > 0 && to.Type().Field(0).Type == reflect.TypeFor[Open]():
		case words != nil:
			key.Fail("%s", words(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "" })))
		default:
			key.unknown()
		}
	})
}

// namesOf returns what the fields of a struct are called in files, "" for those
// that are not for files.
func namesOf(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		if name == "-" {
			name = ""
		}
		names = append(names, name)
	}
	return names
}

func (v Value) intoSlice(to reflect.Value) {
	if v.node.Kind != yaml.SequenceNode {
		v.mismatch("a list")
		return
	}
	items := v.Items()
	to.Set(reflect.MakeSlice(to.Type(), len(items), len(items)))
	for i, item := range items {
		item.into(to.Index(i))
	}
}

func (v Value) intoMap(to reflect.Value) {
	m := reflect.MakeMap(to.Type())
	v.mapping("names and values", func(name string) func(Value) {
		return func(v Value) {
			item := reflect.New(to.Type().Elem()).Elem()
			v.into(item)
			m.SetMapIndex(reflect.ValueOf(name), item)
		}
	}, Value.unknown)
	to.Set(m)
}

func (v Value) intoScalar(to reflect.Value) {
	number, text := v.node.Tag == "!!int", v.node.Tag == "!!str" || v.doc.rules.AnyText
	switch {
	case to.Type() == reflect.TypeFor[Present]():
		to.SetBool(true)
	case v.node.Kind != yaml.ScalarNode,
		isInteger(to) && !number, // the library would cut 80.7 to 80
		to.Kind() == reflect.String && !text && (to.Type() != reflect.TypeFor[NumberOrText]() || !number),
		to.Kind() != reflect.String && v.node.Decode(to.Addr().Interface()) != nil:
		v.mismatch(wanted(to.Type()))
	case to.Kind() == reflect.String:
		to.SetString(v.node.Value)
	}
}

func isInteger(v reflect.Value) bool {
	return (v.CanInt() || v.CanUint()) && v.Type() != reflect.TypeFor[time.Duration]()
}

func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 10s"
	case t == reflect.TypeFor[NumberOrText]():
		return "a number or a text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Float64:
		return "a number"
	}
	return "a whole number"
}
