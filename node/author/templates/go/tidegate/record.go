// Package tidegate is the contract of wit/plugin.wit as Go sees it: it runs a function over each
// record of a batch, in place.
//
// A plugin gives its functions to Register from an init function; main stays empty. It must be
// deterministic: no clock, no randomness but Record.Seed, and no ranging over maps where the order
// shows.
package tidegate

import "unsafe"

// Columns are the parts of a record that a plugin reads; the fewer, the faster.
type Columns uint8

const (
	Timestamps Columns = 1 << iota
	Keys
	Values
	Headers
)

// Record is one record of a batch. Its bytes are valid until the function returns.
type Record struct {
	// Index is its place in the batch.
	Index uint32
	// Timestamp is in milliseconds since 1970; -1 where it has none.
	Timestamp int64
	// Key and Value are nil where they are null.
	Key, Value []byte
	// Headers are (u32 name length, u32 value length, name, value)*; 0xffffffff is a null value.
	Headers []byte
	// Topic and Partition are where the batch was sent to.
	Topic      string
	Partition  uint32
	Partitions uint32
	// Seed is the same whenever the same batch is run: the only source of randomness.
	Seed uint64
}

// read sets the record to number i of a batch.
func (r *Record) read(in *arguments, i uint32) {
	r.Index, r.Timestamp = i, -1
	r.Key, r.Value, r.Headers = nil, nil, nil
	var nulls byte
	if in.nulls.count > 0 {
		nulls = view[byte](in.nulls)[i]
	}
	if in.timestamps.count > 0 {
		r.Timestamp = view[int64](in.timestamps)[i]
	}
	if in.keyEnds.count > 0 && nulls&1 == 0 {
		r.Key = item(in.keys, in.keyEnds, i)
	}
	if in.valueEnds.count > 0 && nulls&2 == 0 {
		r.Value = item(in.values, in.valueEnds, i)
	}
	if in.headerEnds.count > 0 {
		r.Headers = item(in.headers, in.headerEnds, i)
	}
}

// item is item i of a column; it is not nil where it is empty.
func item(bytes, ends list, i uint32) []byte {
	all := view[uint32](ends)
	start := uint32(0)
	if i > 0 {
		start = all[i-1]
	}
	if all[i] == start {
		return []byte{}
	}
	return unsafe.Slice((*byte)(at(bytes.items)), bytes.count)[start:all[i]:all[i]]
}
