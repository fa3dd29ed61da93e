package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"leaktrack/heap"
	"leaktrack/internal/mail"
	"leaktrack/internal/report"
	"leaktrack/internal/unit"
	"leaktrack/trend"
)

const passwordVariable = "LEAKTRACK_SMTP_PASSWORD"

// mailFlags are what sending takes, for every verb that sends.
func mailFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "to", Usage: "send to this `ADDRESS`; may be repeated"},
		&cli.StringFlag{Name: "from", Usage: "sender `ADDRESS`", DefaultText: "leaktrack@ this host"},
		&cli.StringFlag{Name: "smtp", Usage: "hand the mail to the server at `HOST:PORT`; the port is 587 where it is left out"},
		&cli.StringFlag{Name: "tls", Usage: "`WAY` of encryption: starttls, implicit or none", DefaultText: "implicit on port 465, otherwise starttls"},
		&cli.StringFlag{Name: "ca", Usage: "trust the certificates in this PEM `FILE`, and no others"},
		&cli.StringFlag{Name: "user", Usage: "log in as `NAME`; the password comes from --password-file or $" + passwordVariable},
		&cli.StringFlag{Name: "password-file", Usage: "`FILE` that holds the password and nothing else"},
		&cli.StringFlag{Name: "auth", Usage: "log in by `WAY`: plain, login, cram-md5, scram-sha-1 or scram-sha-256", DefaultText: "the best that the server offers"},
	}
}

func mailCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "mail",
		Usage:     "the report as an e-mail with the charts inside",
		UsageText: "leaktrack mail [flags] --to ADDRESS --smtp HOST:PORT [PROCESS]",
		Description: `HTML with the charts inside and the same findings as plain text; the subject is the
finding. For filters: List-Id, X-Leaktrack-Verdict, X-Leaktrack-Process. A failure that
the server calls temporary is tried again twice, after 5 and 30 seconds. A password is
never sent without TLS.

Examples:
   leaktrack mail --save leak.eml CLRHeapLeak
   leaktrack mail --to ops@example.com --smtp mail.example.com:587 --user ops --password-file pw
   leaktrack mail --only-if-leak --to ops@example.com --smtp localhost:25 --tls none Shop.Web`,
		Flags: append(mailFlags(),
			&cli.StringFlag{Name: "save", Usage: "write the mail to `FILE`, such as leak.eml, instead of sending it"},
			forceFlag(),
			&cli.BoolFlag{Name: "only-if-leak", Usage: "do nothing unless a process is judged a leak"},
			&cli.StringFlag{Name: "attach", Usage: "attach `WHAT`: report, the page of leaktrack report"},
			&cli.StringFlag{Name: "max-size", Value: "1MB", Usage: "leave out charts until the mail, without attachment, is below this `SIZE`"},
			&cli.IntFlag{Name: "top", Value: 20, Usage: "at most `N` types per table"},
			limitFlag(),
			programFlag(),
		),
		Action: func(ctx *cli.Context) error { return c.mail(ctx) },
	}
}

func (c *console) mail(ctx *cli.Context) error {
	p, err := newPoster(ctx)
	if err != nil {
		return err
	}
	switch ctx.String("attach") {
	case "", "report":
		p.attach = ctx.String("attach") != ""
	default:
		return usagef("--attach %q: it can attach the report", ctx.String("attach"))
	}
	if p.most, err = unit.ParseBytes(ctx.String("max-size")); err != nil {
		return usagef("--max-size: %v", err)
	}
	if p.save != "" {
		if err := mayWrite(p.save, ctx.Bool("force")); err != nil {
			return err
		}
	}
	f, err := c.findings(ctx)
	if err != nil {
		return err
	}
	if ctx.Bool("only-if-leak") && !slices.ContainsFunc(f.results, isLeak) && (f.program == nil || f.program.Diagnosis.Verdict != trend.DiagnosisLeak) {
		return nil
	}
	subject, err := p.post(ctx.Context, f)
	if err != nil {
		return err
	}
	if p.save != "" {
		fmt.Fprintln(c.out, p.save)
	} else {
		fmt.Fprintf(c.out, "sent to %s: %s\n", unit.Clean(strings.Join(p.to, ", ")), subject)
	}
	return nil
}

func isLeak(r report.Named) bool { return r.Diagnosis.Verdict == trend.DiagnosisLeak }

// poster sends findings, or saves them.
type poster struct {
	server mail.Server
	from   string
	to     []string
	save   string // instead of sending; "" sends
	attach bool
	most   int64 // bytes of a mail without its attachment
}

// mostMail is below what any server takes, and loads on a phone at once.
const mostMail = 1000 * 1000

// mailRetry holds the waits before further attempts, mailTimeout that for an
// answer; the zero values are what package mail does. Tests shorten them.
var (
	mailRetry   []time.Duration
	mailTimeout time.Duration
)

// newPoster reads [mailFlags], and --save where the verb has it.
func newPoster(ctx *cli.Context) (*poster, error) {
	p := &poster{to: addresses(ctx.StringSlice("to")), from: ctx.String("from"), save: ctx.String("save"), most: mostMail}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	if p.from == "" {
		p.from = "leaktrack@" + host
		if _, err := mail.ParseAddress(p.from); err != nil {
			p.from = "leaktrack@localhost"
		}
	}
	if len(p.to) == 0 && p.save != "" {
		p.to = []string{p.from} // a draft, for whoever opens it
	}
	switch {
	case len(p.to) == 0:
		return nil, usagef("--to ADDRESS says who gets the mail")
	case p.save == "" && ctx.String("smtp") == "":
		return nil, usagef("--smtp HOST:PORT says which server takes the mail; --save FILE writes it instead")
	}
	for _, a := range append([]string{p.from}, p.to...) {
		if _, err := mail.ParseAddress(a); err != nil {
			return nil, usagef("%v", err)
		}
	}
	if p.save != "" {
		return p, nil
	}
	p.server = mail.Server{Address: ctx.String("smtp"), Hello: asciiHost(host), Retry: mailRetry, Timeout: mailTimeout}
	return p, p.secure(ctx)
}

// secure reads how the server is reached and logged in to.
func (p *poster) secure(ctx *cli.Context) error {
	s := &p.server
	name, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		name, port = s.Address, "587"
		s.Address = net.JoinHostPort(strings.Trim(name, "[]"), port)
	}
	if name == "" {
		return usagef("--smtp %q: it takes HOST:PORT", ctx.String("smtp"))
	}
	switch ctx.String("tls") {
	case "starttls":
	case "implicit":
		s.Security = mail.Implicit
	case "none":
		s.Security = mail.Plain
	case "":
		if port == "465" {
			s.Security = mail.Implicit
		}
	default:
		return usagef("--tls %q: it is starttls, implicit or none", ctx.String("tls"))
	}
	if file := ctx.String("ca"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--ca %s: %w", file, cause(err))
		}
		if s.Roots = x509.NewCertPool(); !s.Roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--ca %s: it holds no certificate in PEM form", file)
		}
	}
	if s.Auth = strings.ToUpper(ctx.String("auth")); s.Auth != "" && !slices.Contains(mail.Mechanisms, s.Auth) {
		return usagef("--auth %q: it is one of %s", ctx.String("auth"), strings.ToLower(strings.Join(mail.Mechanisms, ", ")))
	}
	if s.User = ctx.String("user"); s.User == "" {
		if ctx.String("password-file") != "" || s.Auth != "" {
			return usagef("--password-file and --auth need --user NAME")
		}
		return nil
	}
	if s.Security == mail.Plain {
		return usagef("--user with --tls none: %v", mail.ErrPassword)
	}
	s.Password = os.Getenv(passwordVariable)
	if file := ctx.String("password-file"); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--password-file %s: %w", file, cause(err))
		}
		s.Password = strings.TrimRight(string(b), "\r\n")
	}
	if s.Password == "" {
		return usagef("--user needs a password, in the file of --password-file or in $%s", passwordVariable)
	}
	return nil
}

// asciiHost is a name fit for EHLO.
func asciiHost(name string) string {
	for _, r := range name {
		if r > 0x7e || r <= ' ' {
			return "localhost"
		}
	}
	return name
}

// post composes the findings and sends or saves them. It returns the subject.
func (p *poster) post(ctx context.Context, f *findings) (string, error) {
	m, err := p.compose(f)
	if err != nil {
		return "", err
	}
	if p.save != "" {
		raw, err := m.Bytes()
		if err != nil {
			return "", err
		}
		return m.Subject, writeFile(p.save, private, func(w io.Writer) error { _, err := w.Write(raw); return err })
	}
	if err := p.send(ctx, m); err != nil {
		return "", err
	}
	return m.Subject, nil
}

// send hands the mail to the server, and says what to do if that fails.
func (p *poster) send(ctx context.Context, m *mail.Message) error {
	err := p.server.Send(ctx, m)
	if err == nil {
		return nil
	}
	if hint := mailHint(err); hint != "" {
		err = fmt.Errorf("%w; %s", err, hint)
	}
	var failed *mail.Error
	if errors.As(err, &failed) && failed.Sent {
		return fmt.Errorf("the mail was not sent to everybody: %w", err)
	}
	return fmt.Errorf("the mail was not sent: %w", err)
}

func mailHint(err error) string {
	switch {
	case errors.Is(err, mail.ErrNoSTARTTLS):
		return "--tls implicit is for port 465, --tls none sends unencrypted and without login"
	case errors.Is(err, mail.ErrCertificate):
		return "--ca FILE trusts another authority"
	case errors.Is(err, mail.ErrSilent):
		return "a server that begins with TLS, as on port 465, wants --tls implicit"
	case errors.Is(err, mail.ErrNoTLS):
		return "--tls starttls begins unencrypted"
	}
	return ""
}

const (
	mailLeads    = 6  // charts of groups per process
	mailSections = 25 // processes told of; a mail is no archive
	mailCharts   = 12 // that are drawn at most, the worst processes first
	subjectRunes = 180
)

// compose makes the mail: the worst process first, charts as far as they fit.
func (p *poster) compose(f *findings) (*mail.Message, error) {
	told := *f
	told.snapshots = nil
	if f.program == nil {
		told.results = report.ByWorst(f.results)
	}
	left := max(0, len(told.results)-mailSections)
	told.results = told.results[:len(told.results)-left]
	// Each process has at least one chart, so no more than these can be drawn.
	page, err := told.page(mailLeads, told.results[:min(len(told.results), mailCharts)], false)
	if err != nil {
		return nil, err
	}
	page.Left = left
	m := &mail.Message{From: p.from, To: p.to, List: "leaktrack", Version: versionText(), Date: f.made,
		Subject: cutRunes(report.Findings(f.results), subjectRunes)}
	worst := report.Worst(f.results)
	m.Headers = []mail.Header{{Name: "X-Leaktrack-Verdict", Value: string(worst.Diagnosis.Verdict)}, {Name: "X-Leaktrack-Process", Value: unit.Shorten(worst.Ref, 100)}}
	if err := p.fill(m, &page); err != nil {
		return nil, err
	}
	if p.attach {
		full, err := f.page(mostLeads, f.results, true)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := report.HTML(&b, full); err != nil {
			return nil, err
		}
		m.Attached = []mail.File{{Name: "report.html", Type: "text/html", Data: b.Bytes()}}
	}
	return m, nil
}

// fill writes text, HTML and pictures, and drops the last picture until the
// mail is small enough.
func (p *poster) fill(m *mail.Message, page *report.Page) error {
	var text bytes.Buffer
	if err := report.MailText(&text, *page); err != nil {
		return err
	}
	m.Text = text.String()
	for keep := mailCharts; ; keep-- {
		charts := page.Charts()
		for _, c := range charts[min(keep, len(charts)):] {
			*c = nil
		}
		var html bytes.Buffer
		if err := report.MailHTML(&html, *page); err != nil {
			return err
		}
		m.HTML, m.Inline = html.String(), nil
		for _, c := range page.Charts() {
			id := (*c).CID
			m.Inline = append(m.Inline, mail.File{Name: strings.TrimSuffix(id, "@leaktrack") + ".png", ID: id, Type: "image/png", Data: (*c).PNG})
		}
		raw, err := m.Bytes()
		if err != nil {
			return err
		}
		if int64(len(raw)) <= p.most || len(m.Inline) == 0 {
			return nil
		}
		keep = min(keep, len(m.Inline))
	}
}

func cutRunes(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}

// leakMail sends one mail for each new leak verdict of a watch, not one for
// each snapshot: a process is told of again when a type leaks that did not
// when it was told of last. It is for one goroutine.
type leakMail struct {
	*poster
	told map[heap.Process]map[string]bool
}

// newLeakMail reads [mailFlags]. A mail that fails is tried again with the
// next snapshot, so the watch does not stand still meanwhile.
func newLeakMail(ctx *cli.Context) (*leakMail, error) {
	p, err := newPoster(ctx)
	if err != nil {
		return nil, err
	}
	p.server.Retry = []time.Duration{}
	return &leakMail{p, map[heap.Process]map[string]bool{}}, nil
}

// verdict takes what is judged after a snapshot, and sends a mail if a leak is
// new in it. It returns the subject of what was sent, "" for nothing.
func (l *leakMail) verdict(ctx context.Context, r report.Named) (string, error) {
	if !isLeak(r) {
		return "", nil
	}
	known := l.told[r.Process]
	fresh := known == nil // a leak without a leaking type is told of once
	leaks := map[string]bool{}
	for i := range r.Types {
		if t := &r.Types[i]; t.Leak {
			leaks[t.Name] = true
			fresh = fresh || !known[t.Name]
		}
	}
	if !fresh {
		return "", nil
	}
	subject, err := l.post(ctx, &findings{results: []report.Named{r}, top: 20, made: time.Now()})
	if err != nil {
		return "", err
	}
	for name := range known {
		leaks[name] = true
	}
	l.told[r.Process] = leaks
	return subject, nil
}

// addresses parts what stands in one --to: several addresses with commas
// between them are several. A comma inside of a quoted name parts nothing.
func addresses(texts []string) []string {
	var out []string
	for _, text := range texts {
		list, err := netmail.ParseAddressList(text)
		if err != nil || len(list) == 1 {
			out = append(out, text) // a wrong one is told later, as it was typed
			continue
		}
		for _, a := range list {
			if a.Name == "" {
				out = append(out, a.Address)
			} else {
				out = append(out, a.String())
			}
		}
	}
	return out
}
