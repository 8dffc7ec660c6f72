package tidegate

import "unsafe"

// Level is how loud a line in the log is.
type Level uint32

const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

//go:wasmimport tidegate:plugin/host@0.1.0 log
func hostLog(level uint32, message unsafe.Pointer, size uint32)

//go:wasmimport tidegate:plugin/host@0.1.0 count
func hostCount(metric unsafe.Pointer, size uint32, by uint64)

// Log writes a line to the node's log, under the plugin's name.
func Log(level Level, message string) {
	hostLog(uint32(level), unsafe.Pointer(unsafe.StringData(message)), uint32(len(message)))
}

// Count adds to a counter of the plugin's own; its name is a-z 0-9 _.
func Count(metric string, by uint64) {
	hostCount(unsafe.Pointer(unsafe.StringData(metric)), uint32(len(metric)), by)
}
