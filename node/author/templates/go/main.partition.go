// A plugin that sends the records whose JSON field `value` is above a limit to the last partition, all
// others to the first.
//
// A record without a number in that field fails; how a plugin is attached decides what becomes of
// those.
package main

import (
	"encoding/json"
	"errors"

	"{{name}}/tidegate"
)

var config struct {
	Above *float64 `json:"above"`
}

var errNoNumber = errors.New("no number in the field value")

func main() {}

func init() { tidegate.Register(configure, choose) }

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

func choose(record *tidegate.Record) (uint32, error) {
	hot, err := isHot(record)
	if hot {
		return record.Partitions - 1, err
	}
	return 0, err
}
