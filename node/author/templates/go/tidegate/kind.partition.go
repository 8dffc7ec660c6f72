package tidegate

type plugin struct {
	configure func(config []byte) (Columns, error)
	run       func(*Record) (uint32, error)
}

var registered plugin

// Register says what the plugin is: how it takes its configuration, which is JSON, and the partition of a record.
func Register(configure func(config []byte) (Columns, error), run func(*Record) (uint32, error)) {
	registered = plugin{configure, run}
}

func start(config []byte) (Columns, error) { return registered.configure(config) }

//go:wasmexport partition
func partition(in *arguments) *answer {
	defer report()
	begin(in)
	chosen = append(chosen[:0], make([]uint32, in.count)...)
	for i := range in.count {
		record.read(in, i)
		partition, err := registered.run(&record)
		if err != nil {
			fail(i, err)
		} else {
			chosen[i] = partition
		}
	}
	return finish(listOf(chosen))
}

// chosen holds the answer until it was read.
var chosen []uint32

//go:wasmexport cabi_post_partition
func postPartition(*answer) { handed.reset() }
