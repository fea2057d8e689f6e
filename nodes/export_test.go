package nodes

// What tests need of the inside.
var (
	Check4 = ip4Check
	Hash4  = ip4Hash
)

// ICMPError is what Meta holds towards icmp4-error.
var ICMPError = icmpError

// The options that a fragment behind the first carries.
var CopyOptions = copyOptions
