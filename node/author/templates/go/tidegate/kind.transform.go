package tidegate

type plugin struct {
	configure func(config []byte) (Columns, error)
	run       func(*Record, *Output) error
}

var registered plugin

// Register says what the plugin is: how it takes its configuration, which is JSON, and what becomes of a record.
func Register(configure func(config []byte) (Columns, error), run func(*Record, *Output) error) {
	registered = plugin{configure, run}
}

func start(config []byte) (Columns, error) { return registered.configure(config) }

const (
	keep byte = iota
	drop
	replace
	null
)

// Output takes what becomes of a record: it stays as it is unless something is called.
type Output struct {
	tag    byte
	tags   []byte
	values []byte
	ends   []uint32
}

// Drop drops the record.
func (o *Output) Drop() { o.tag = drop }

// NullValue makes the value null.
func (o *Output) NullValue() { o.tag = null }

// Write appends to the record's new value; the first call replaces the old one.
func (o *Output) Write(data []byte) (int, error) {
	o.tag = replace
	o.values = append(o.values, data...)
	return len(data), nil
}

// out holds the answer until it was read.
var out Output

//go:wasmexport transform
func transform(in *arguments) *answer {
	defer report()
	begin(in)
	out.tags, out.values, out.ends = out.tags[:0], out.values[:0], out.ends[:0]
	for i := range in.count {
		record.read(in, i)
		before := len(out.values)
		out.tag = keep
		if err := registered.run(&record, &out); err != nil {
			fail(i, err)
			out.tag = keep
		}
		if out.tag == replace {
			out.ends = append(out.ends, uint32(len(out.values)))
		} else {
			out.values = out.values[:before]
		}
		out.tags = append(out.tags, out.tag)
	}
	return finish(listOf(out.tags), listOf(out.values), listOf(out.ends))
}

//go:wasmexport cabi_post_transform
func postTransform(*answer) { handed.reset() }
