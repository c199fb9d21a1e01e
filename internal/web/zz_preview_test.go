package web
import ("testing";"net/http";"os")
func TestPreview(t *testing.T){ if os.Getenv("PREVIEW")=="" {t.Skip()}; http.ListenAndServe("127.0.0.1:18099", New(Options{Hostname:"mx.example.org"})) }
