package main

import (
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

var (
	unknownFlag = regexp.MustCompile(`^flag provided but not defined: -(.*)$`)
	noFlagValue = regexp.MustCompile(`^flag needs an argument: -(.*)$`)
	badValue    = regexp.MustCompile(`(?s)^invalid (?:boolean )?value (".*") for (?:flag )?-([^ :]*): .*$`)
)

// flagError says in the voice of the other messages what package flag says of a
// flag: with two dashes, and with what it wants.
func flagError(ctx *cli.Context, err error) error {
	flags := ctx.App.Flags
	if ctx.Command != nil {
		flags = slices.Concat(flags, ctx.Command.Flags)
	}
	text := err.Error()
	if m := unknownFlag.FindStringSubmatch(text); m != nil {
		var names []string
		for _, f := range flags {
			for _, name := range f.Names() {
				if len(name) > 1 {
					names = append(names, name)
				}
			}
		}
		near := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, m[1]) })
		if len(near) == 0 {
			near = nearest(m[1], names, 1)
		}
		if len(near) > 0 {
			return usagef("there is no flag %s here, did you mean --%s?", dashes(m[1]), near[0])
		}
		return usagef("there is no flag %s here", dashes(m[1]))
	}
	if m := noFlagValue.FindStringSubmatch(text); m != nil {
		return usagef("%s needs a value", dashes(m[1]))
	}
	if m := badValue.FindStringSubmatch(text); m != nil {
		for _, f := range flags {
			if !slices.Contains(f.Names(), m[2]) {
				continue
			}
			switch f.(type) {
			case *cli.IntFlag:
				return usagef("%s %s: want a whole number", dashes(m[2]), m[1])
			case *cli.DurationFlag:
				return usagef("%s %s: want a time such as 30s, 5m or 1h30m", dashes(m[2]), m[1])
			case *cli.BoolFlag:
				return usagef("%s takes no value, not %s", dashes(m[2]), m[1])
			}
		}
	}
	return usagef("%s", text)
}

func dashes(name string) string {
	name = strings.TrimPrefix(name, "-")
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
