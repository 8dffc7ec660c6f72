// A plugin that marks the records whose JSON field `value` is above a limit with `"alarm":true`.
//
// A record without a number in that field fails; how a plugin is attached decides what becomes of
// those.
package main

import (
	"bytes"
	"encoding/json"
	"errors"

	"{{name}}/tidegate"
)

var config struct {
	Above *float64 `json:"above"`
}

var errNoNumber = errors.New("no number in the field value")

func main() {}

func init() { tidegate.Register(configure, mark) }

func configure(text []byte) (tidegate.Columns, error) {
	if err := json.Unmarshal(text, &config); err != nil {
		return 0, err
	}
	if config.Above == nil {
		return 0, errors.New("`above` must be a number")
	}
	return tidegate.Values, nil
}

func isHot(record *tidegate.Record) (bool, error) {
	var reading struct {
		Value *float64 `json:"value"`
	}
	if err := json.Unmarshal(record.Value, &reading); err != nil || reading.Value == nil {
		return false, errNoNumber
	}
	return *reading.Value > *config.Above, nil
}

func mark(record *tidegate.Record, out *tidegate.Output) error {
	hot, err := isHot(record)
	if hot {
		out.Write(record.Value[:bytes.LastIndexByte(record.Value, '}')])
		out.Write([]byte(`,"alarm":true}`))
	}
	return err
}
