package sasl

import (
	"crypto/pbkdf2"
	"testing"
)

// saltedClient is ClientKey of a password (rfc5802#3).
func saltedClient(h Hash, password string, salt []byte, iterations int) ([]byte, error) {
	salted, err := pbkdf2.Key(h.new, normalize(password), salt, iterations, h.Size())
	return h.hmac(salted, []byte("Client Key")), err
}

// TestScramVectors holds the exchanges of RFC 5802, section 5, and RFC 7677,
// section 3.
func TestScramVectors(t *testing.T) {
	tests := []struct {
		mechanism                                     string
		hash                                          Hash
		nonce, salt                                   string
		clientFirst, serverFirst, clientFinal, server string
	}{
		{
			"SCRAM-SHA-1", SHA1, "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
			"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		},
		{
			"SCRAM-SHA-256", SHA256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==",
			"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		},
	}
	for _, tt := range tests {
		t.Run(tt.mechanism, func(t *testing.T) {
			salt := unbase64(t, tt.salt)
			key, err := SaltedKeys(tt.hash, "pencil", salt, 4096)
			if err != nil {
				t.Fatal(err)
			}
			decoy, err := SaltedKeys(tt.hash, "pen", salt, 4096)
			if err != nil {
				t.Fatal(err)
			}
			w := world{
				channel: Channel{Nonce: func() string { return tt.nonce }},
				keys:    Keys{Salt: salt, Iterations: 4096, Candidates: []Key{decoy, key, decoy}},
				ok:      always,
			}
			m := mechanism(t, tt.mechanism, w.channel)
			said := w.talk(m, nil, tt.clientFirst, tt.clientFinal, "")
			if want := "[] LookUp [" + tt.serverFirst + "] Check [" + tt.server + "] Accept"; said != want {
				t.Errorf("said %s, want %s", said, want)
			}
			if got, want := m.Credentials(), (Credentials{Mechanism: tt.mechanism, Login: "user", Key: 1}); got != want {
				t.Errorf("credentials %+v, want %+v", got, want)
			}
			w.keys.Candidates = []Key{decoy, decoy, decoy}
			m = mechanism(t, tt.mechanism, w.channel)
			said = w.talk(m, []byte(tt.clientFirst), tt.clientFinal)
			if want := "LookUp [" + tt.serverFirst + "] Check Reject"; said != want || m.Credentials().Key != -1 {
				t.Errorf("with no right key it said %s and chose %d", said, m.Credentials().Key)
			}
		})
	}
}
