package tidegate

import (
	"fmt"
	"structs"
	"unsafe"
)

// list is a list as the canonical ABI hands it over: where it lies, and how many items it has.
type list struct {
	_            structs.HostLayout
	items, count uint32
}

// arguments are a batch and its context.
type arguments struct {
	_                          structs.HostLayout
	count                      uint32
	timestamps, keys, keyEnds  list
	values, valueEnds          list
	headers, headerEnds, nulls list
	_                          uint32
	topic                      list
	partition, partitions      uint32
	seed                       uint64
}

type failure struct {
	_      structs.HostLayout
	record uint32
	reason list
}

// answer has room for the largest one; which lists there are depends on the kind.
type answer struct {
	_       structs.HostLayout
	isError uint32
	verdict uint32
	lists   [13]list
}

type configured struct {
	_       structs.HostLayout
	isError uint32
	columns uint32
	count   uint32
}

const (
	_ = uint(unsafe.Sizeof(arguments{}) - 96)
	_ = uint(96 - unsafe.Sizeof(arguments{}))
	_ = uint(unsafe.Sizeof(answer{}) - 112)
	_ = uint(112 - unsafe.Sizeof(answer{}))
)

// at is memory of this module that the node wrote.
func at(pointer uint32) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(nil), pointer)
}

func view[T any](l list) []T {
	return unsafe.Slice((*T)(at(l.items)), l.count)
}

func listOf[T any](items []T) list {
	if len(items) == 0 {
		return list{}
	}
	return list{items: uint32(uintptr(unsafe.Pointer(&items[0]))), count: uint32(len(items))}
}

// arena holds what the node hands over, until the answer was read. Its blocks are used again, so
// that a batch leaves nothing to collect.
type arena struct {
	blocks [][]uint64
	block  int
	used   int
}

var handed arena

const blockWords = 1 << 15

func (a *arena) take(size uint32) uint32 {
	words := int(size+7) / 8
	for a.block < len(a.blocks) && len(a.blocks[a.block])-a.used < words {
		a.block, a.used = a.block+1, 0
	}
	if a.block == len(a.blocks) {
		a.blocks = append(a.blocks, make([]uint64, max(words, blockWords)))
	}
	if words == 0 {
		return 8
	}
	p := &a.blocks[a.block][a.used]
	a.used += words
	return uint32(uintptr(unsafe.Pointer(p)))
}

func (a *arena) reset() { a.block, a.used = 0, 0 }

//go:wasmexport cabi_realloc
func cabiRealloc(old, oldSize, align, size uint32) uint32 {
	p := handed.take(size)
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(at(p)), size), unsafe.Slice((*byte)(at(old)), oldSize))
	}
	return p
}

var (
	record   Record
	result   answer
	setUp    configured
	failures []failure
	reasons  [][]byte
)

//go:wasmexport configure
func configure(config, size uint32) *configured {
	defer report()
	text := string(unsafe.Slice((*byte)(at(config)), size))
	handed.reset()
	columns, err := start([]byte(text))
	setUp = configured{columns: uint32(columns)}
	if err != nil {
		reasons = append(reasons[:0], []byte("configuration: "+err.Error()))
		why := listOf(reasons[0])
		setUp = configured{isError: 1, columns: why.items, count: why.count}
	}
	return &setUp
}

//go:wasmexport cabi_post_configure
func postConfigure(*configured) {}

// begin makes ready for a batch.
func begin(in *arguments) {
	failures, reasons = failures[:0], reasons[:0]
	record = Record{
		Topic:      string(view[byte](in.topic)),
		Partition:  in.partition,
		Partitions: in.partitions,
		Seed:       in.seed,
	}
}

func fail(i uint32, err error) {
	reason := []byte(err.Error())
	reasons = append(reasons, reason)
	failures = append(failures, failure{record: i, reason: listOf(reason)})
}

// finish makes the answer of its lists.
func finish(lists ...list) *answer {
	result = answer{}
	copy(result.lists[:], append(lists, listOf(failures)))
	return &result
}

// report sends a panic's text to the node before it ends the instance.
func report() {
	if why := recover(); why != nil {
		Log(Error, fmt.Sprint(why))
		panic(why)
	}
}
