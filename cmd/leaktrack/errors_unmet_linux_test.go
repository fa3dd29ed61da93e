package main

// Why a text of an error is met by no user of the command.
const (
	caught   = "it is caught before it is shown; the callers decide by it"
	checked  = "the command has checked what would lead to it"
	ours     = "it would be a mistake of leaktrack, not of its user"
	byKernel = "the kernel of a Linux does not do that"
	library  = "only the Go package says it; the command does not call that"
	crafted  = "it takes a file that was made to harm; the bound is there, and no test goes up to it"
	unlike   = "no runtime is known that is like that; it would be refused with these words"
	notes    = "it is part of a note on names that stay short, which is no failure"
)

// neverMet are texts of errors that need no row in doc/errors.md, as they stand in
// the source, with the reason.
var neverMet = map[string]string{
	"reported":                    caught,
	"a leak was found":            caught,
	"done":                        caught,
	"the process ended":           caught,
	"no next run":                 caught,
	"not this format":             caught + ": another reader is tried",
	"not a table of the heap":     caught,
	"no heap in it":               caught,
	"no single-file .NET program": caught,

	"process %d: heap walk: %w": caught + ": Ctrl-C and the end of --for end the reading",

	"%v; watching goes on": byKernel + ": a socket that listens is not closed by others",
	"serving metrics: %w":  byKernel + ": the same",

	"finding the boot time: %w":            byKernel + ": /proc/stat is always there",
	"finding the boot time: %s has none":   byKernel + ": /proc/stat says when it was booted",
	"malformed stat":                       byKernel,
	"reading /proc":                        byKernel + ": it leads to the one above",
	"its /proc/PID/stat makes no sense":    byKernel,
	"listing processes: %w":                byKernel + ": /proc can be listed, also with hidepid",
	"connecting to its diagnostics socket": byKernel + ": other failures of a connection to a local socket have their rows",

	"a program cannot hold itself":                          checked + ": it is no .NET process",
	"process %d: the path of a core is absolute, %s is not": checked,
	"not walked": checked + ": the watch refuses the walk first, which has a row",
	"allow a longer pause, or take counters only":   checked + ": the same",
	"the pause became too long":                     checked + ": the same, as holding a process has no estimate",
	"is no host:port":                               checked,
	"a mail without recipient":                      checked,
	"has not begun TLS":                             checked + ": no login without TLS",
	"a width of %d px is not between 320 and 4000":  checked,
	"a height of %d px is not between 200 and 4000": checked,
	"a scale of %d is not between 1 and 4":          checked,
	"unknown format %d":                             checked,
	"snapshots of more than one process":            checked,
	"runs of more than one program":                 checked,
	"a number of snapshots or an age below zero":    checked,
	"store is open for reading only":                checked,

	"internal error while the process was held: %v": ours,
	"putting %s into the mail: %w":                  ours,
	"attaching %s: %w":                              ours,
	"composing the mail: %w":                        ours,
	"framework.txt:%d: %q":                          ours + ": the table is built in",
	"no command to open a session":                  ours,
	"request of %d bytes":                           ours,
	"store is closed":                               ours,
	"%w: the copy has another number for bucket %x": ours,
	"source %q has no code":                         ours,
	"server GC %d is neither unknown, no nor yes":   ours,

	"its event stream has no end and no counters":                       library,
	"its runtime sends no counters":                                     library + ": the command takes the first sample, which comes before it",
	"only memory can be sampled; build it with EventSourceSupport=true": library,

	"module %q: not a local path": notes,
	"module %q: no absolute path": notes,
	"module %q: no regular file":  notes,
	"a module of %d types":        notes,

	"the sum of the table exceeds 2^63-1": checked + ": the row that exceeds it is refused before",
	"the file holds a %q":                 caught + ": such a file is not recognised",
	"average multipliers of %g and %g":    checked + ": each average is bounded before",
	"token %#x is no TypeDef":             ours,
	"%d bytes were counted of %d":         ours,
	"closing store %s: %w":                byKernel + ": everything was synced before",
	"%w: it was cut while it was copied":  "another program would have to cut the file while it is copied",

	"more than %d threads":                               crafted,
	"more than %d modules":                               crafted,
	"more than %d classes":                               crafted,
	"the names are more than the %d bytes that are kept": crafted,
	"%d types are more than the %d that are kept":        crafted,
	"a module at %#x, where there is none":               crafted,
	"more than %d types":                                 crafted,
	"more than %d segments":                              crafted,
	"%w: name too long":                                  crafted,
	"%w: nested too deep":                                crafted,
	"more heap walks than can be kept (%d)":              crafted,
	"generation %d of %d bytes":                          crafted,
	"type %#x: name of %d bytes with %d arguments is beyond what is kept": crafted,
	"module %#x: more or longer than what is kept":                        crafted,
	"%w: %v lies where %v belongs":                                        crafted + ": the checksums fit",
	"more than 2^31 type names":                                           crafted,
	"more than 2^32 bases":                                                crafted,
	"type name %d is out of order or of %d bytes":                         crafted + ": the checksums fit",
	"%w: type name %.60q is numbered twice":                               crafted + ": the checksums fit",
	"there is no list of free pages":                                      crafted + ": the checksum of the head fits",
	"lies too deep":                                                       crafted,

	"the contract descriptor places %s.%s at %d":                  unlike,
	"too many descriptors refer to each other":                    unlike,
	"the GC calls itself %q":                                      unlike,
	"%d generations of %d bytes":                                  unlike,
	"dictionary info of more than 8 bytes":                        unlike,
	"mask %#x of an object's type":                                unlike,
	"no contract descriptor, and the table of offsets is for x64": unlike,
	"more than %d bytes at %#x and before are no objects":         unlike,

	"embedded file %.80q reaches beyond the executable": notes,
	"bundle manifest: %w":                               notes,
	"bundle version %d with %d files":                   notes,
	"name of %d bytes":                                  notes,
}
