package tidegate

type plugin struct {
	configure func(config []byte) (Columns, error)
	run       func(*Record) (bool, error)
}

var registered plugin

// Register says what the plugin is: how it takes its configuration, which is JSON, and whether a record is kept.
func Register(configure func(config []byte) (Columns, error), run func(*Record) (bool, error)) {
	registered = plugin{configure, run}
}

func start(config []byte) (Columns, error) { return registered.configure(config) }

//go:wasmexport filter
func filter(in *arguments) *answer {
	defer report()
	begin(in)
	bitmap := make([]byte, (in.count+7)/8)
	for i := range in.count {
		record.read(in, i)
		keep, err := registered.run(&record)
		if err != nil {
			fail(i, err)
		} else if keep {
			bitmap[i/8] |= 1 << (i % 8)
		}
	}
	kept = bitmap
	return finish(listOf(bitmap))
}

// kept holds the answer until it was read.
var kept []byte

//go:wasmexport cabi_post_filter
func postFilter(*answer) { handed.reset() }
