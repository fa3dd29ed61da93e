package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"leaktrack/internal/mail"
)

// mailFailures are those of mail.
var mailFailures = map[string]failure{
	"mail-no-recipient":    {run: "mail --smtp localhost"},
	"mail-no-server":       {run: "mail --to a@example.com"},
	"mail-address":         {run: "mail --to nobody --smtp localhost"},
	"mail-address-control": {run: "mail --to a\x01b@example.com --smtp localhost"},
	"mail-address-long":    {run: "mail --to " + strings.Repeat("a", 900) + "@example.com --smtp localhost"},
	"mail-server-name":     {run: "mail --to a@example.com --smtp :25"},
	"mail-tls":             {run: "mail --to a@example.com --smtp localhost --tls maybe"},
	"mail-auth":            {run: "mail --to a@example.com --smtp localhost --auth ntlm --user x"},
	"mail-auth-user":       {run: "mail --to a@example.com --smtp localhost --auth plain"},
	"mail-plain-password":  {run: "mail --to a@example.com --smtp localhost --tls none --user x"},
	"mail-no-password":     {run: "mail --to a@example.com --smtp localhost --user x"},
	"mail-password-file":   {run: "mail --to a@example.com --smtp localhost --user x --password-file none"},
	"mail-ca-file":         {run: "mail --to a@example.com --smtp localhost --ca none"},
	"mail-ca-empty":        {run: "mail --to a@example.com --smtp localhost --ca good.log"},
	"mail-attach":          {run: "mail --to a@example.com --smtp localhost --attach cat"},
	"mail-size":            {run: "mail --to a@example.com --smtp localhost --max-size big"},
	"mail-unreachable":     {run: "--db shop.db mail --to a@example.com --smtp 127.0.0.1:1"},
	"mail-silent": {run: "--db one.db mail --to a@example.com --smtp ADDR", before: func(t *testing.T, s *scene) {
		runs(t, s, "--db", "one.db", "ingest", "good.log")
		silentServer(t, s)
		s.env = append(s.env, "LEAKTRACK_HASTY=1")
	}},
	"mail-no-greeting": {run: "--db shop.db mail --to a@example.com --smtp ADDR", before: hangsUp},
	"mail-no-starttls": {run: "--db shop.db mail --to a@example.com --smtp ADDR", before: mailServer(mailRules{})},
	"mail-no-tls":      {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls implicit", before: mailServer(mailRules{})},
	"mail-certificate": {run: "--db shop.db mail --to a@example.com --smtp ADDR", before: mailServer(mailRules{tls: true})},
	"mail-no-login":    {run: "--db shop.db mail --to a@example.com --smtp ADDR --ca ca.pem --user x --password-file pw", before: mailServer(mailRules{tls: true})},
	"mail-login-kind":  {run: "--db shop.db mail --to a@example.com --smtp ADDR --ca ca.pem --user x --password-file pw --auth cram-md5", before: mailServer(mailRules{tls: true, login: true})},
	"mail-login":       {run: "--db shop.db mail --to a@example.com --smtp ADDR --ca ca.pem --user x --password-file pw", before: mailServer(mailRules{tls: true, login: true})},
	"mail-sender":      {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: mailServer(mailRules{sender: 553})},
	"mail-recipient":   {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: mailServer(mailRules{recipient: 550})},
	"mail-some":        {run: "--db shop.db mail --to a@example.com --to b@example.org --smtp ADDR --tls none", before: mailServer(mailRules{recipient: 550})},
	"mail-refused":     {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: mailServer(mailRules{data: 552})},
	"mail-greeting":    {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: says(map[string]string{"EHLO": "554 go away", "HELO": "554 go away"})},
	"mail-starttls":    {run: "--db shop.db mail --to a@example.com --smtp ADDR", before: says(map[string]string{"STARTTLS": "554 not today"})},
	"mail-tls-cut":     {run: "--db shop.db mail --to a@example.com --smtp ADDR", before: says(map[string]string{"STARTTLS": "220 go ahead"})},
	"mail-data":        {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: says(map[string]string{"DATA": "554 no mail today"})},
	"mail-cut":         {inside: cutMail},
	"mail-cut-end":     {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: says(map[string]string{".": ""})},
	"mail-temporary":   {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: mailServer(mailRules{sender: 451})},
}

// mailRules say what a server does not do, or refuses with a code.
type mailRules struct {
	tls, login              bool
	sender, recipient, data int
}

func (r mailRules) NewSession(*smtp.Conn) (smtp.Session, error) {
	if r.login {
		return loginSession{mailSession{r}}, nil
	}
	return mailSession{r}, nil
}

type mailSession struct{ mailRules }

func answerWith(code int) error {
	if code == 0 {
		return nil
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "not today"}
}

func (s mailSession) Reset() {}

func (s mailSession) Logout() error { return nil }

func (s mailSession) Mail(string, *smtp.MailOptions) error { return answerWith(s.sender) }

func (s mailSession) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return answerWith(s.data)
}

func (s mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasSuffix(to, "example.org") {
		return nil
	}
	return answerWith(s.recipient)
}

// loginSession knows every name, and no password.
type loginSession struct{ mailSession }

func (loginSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (loginSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return smtp.ErrAuthFailed }), nil
}

func mailServer(rules mailRules) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		server := smtp.NewServer(rules)
		server.ErrorLog = log.New(io.Discard, "", 0)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		if rules.tls {
			// A certificate of no known authority, made by the standard library.
			web := httptest.NewUnstartedServer(nil)
			web.StartTLS()
			server.TLSConfig = &tls.Config{Certificates: web.TLS.Certificates}
			s.write(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}))
			web.Close()
		}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
		s.set["ADDR"] = l.Addr().String()
		s.write(t, "pw", []byte("secret\n"))
	}
}

// says plays a server that answers the given words in a way of its own: with
// nothing it hangs up, a line of the mail itself counts as "a line".
func says(answers map[string]string) func(*testing.T, *scene) {
	all := map[string]string{"EHLO": "250-here\r\n250 STARTTLS", "DATA": "354 go on", ".": "250 taken", "a line": "-"}
	maps.Copy(all, answers)
	talk := func(c net.Conn) {
		defer c.Close()
		fmt.Fprint(c, "220 here\r\n")
		letter := false
		for in := bufio.NewScanner(c); in.Scan(); {
			word, _, _ := strings.Cut(strings.ToUpper(in.Text()), " ")
			if letter && word != "." {
				word = "a line"
			}
			answer, ok := all[word]
			switch {
			case !ok:
				answer = "250 well"
			case answer == "":
				return
			case answer == "-":
				continue
			}
			letter = word == "DATA"
			fmt.Fprint(c, answer+"\r\n")
			if strings.HasPrefix(answer, "220 go") {
				return
			}
		}
	}
	return func(t *testing.T, s *scene) { listens(t, s, talk) }
}

// cutMail sends a mail that no buffer between here and the server holds, so that
// the server is sure to hang up while it is sent.
func cutMail(t *testing.T, s *scene) (int, string) {
	says(map[string]string{"a line": ""})(t, s)
	p := poster{server: mail.Server{Address: s.set["ADDR"], Security: mail.Plain, Retry: []time.Duration{}}}
	err := p.send(t.Context(), &mail.Message{From: "a@example.com", To: []string{"b@example.com"}, Subject: "large", Text: "text", HTML: "text",
		Attached: []mail.File{{Name: "x.bin", Type: "application/octet-stream", Data: make([]byte, 16<<20)}}})
	if err == nil {
		t.Fatal("it was sent")
	}
	var said bytes.Buffer
	(&console{err: &said}).say("%v", err)
	return exitFailed, said.String()
}

// hangsUp takes a connection, and ends it.
func hangsUp(t *testing.T, s *scene) { listens(t, s, func(c net.Conn) { c.Close() }) }

func listens(t *testing.T, s *scene, talk func(net.Conn)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go talk(c)
		}
	}()
	s.set["ADDR"] = l.Addr().String()
}

// silentServer takes a connection and says nothing.
func silentServer(t *testing.T, s *scene) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s.set["ADDR"] = l.Addr().String()
	s.connected = make(chan bool)
	done := make(chan bool)
	t.Cleanup(func() { l.Close(); close(done) })
	go func() {
		c, err := l.Accept()
		close(s.connected)
		if err == nil {
			<-done
			c.Close()
		}
	}()
}
