package store

// queueSchema is the format of queue.db. States are numbers of queue.State:
// 1 offered, 2 waiting, 3 claimed, 4 held, from 5 on terminal. Moments are
// microseconds since 1970, 0 for none.
func queueSchema() schema {
	return schema{
		what:        "queue",
		application: 0x4f6e7751, // "OnwQ"
		cache:       32 << 10,
		migrations: []string{
			`
			CREATE TABLE message (
				id   INTEGER PRIMARY KEY, -- queue.ID
				meta BLOB NOT NULL
			);
			CREATE TABLE content (
				message INTEGER PRIMARY KEY,
				body    BLOB NOT NULL
			);
			CREATE TABLE large (
				message INTEGER PRIMARY KEY,
				upload  INTEGER NOT NULL,
				chunks  INTEGER NOT NULL
			);
			CREATE TABLE chunk (
				id   INTEGER PRIMARY KEY, -- upload * 65536 + number from 0
				body BLOB NOT NULL
			);
			CREATE TABLE recipient (
				message     INTEGER NOT NULL,
				n           INTEGER NOT NULL,
				state       INTEGER NOT NULL,
				pending     INTEGER NOT NULL, -- queue.Event
				due         INTEGER NOT NULL,
				expires     INTEGER NOT NULL,
				attempts    INTEGER NOT NULL,
				delayed     INTEGER NOT NULL,
				last        INTEGER NOT NULL, -- log.seq of its newest row
				tried       INTEGER NOT NULL, -- log.seq of its newest attempt
				incarnation INTEGER NOT NULL, -- of the process that claimed it
				total       INTEGER NOT NULL, -- recipients of the message
				destination TEXT NOT NULL,
				meta        BLOB NOT NULL,
				PRIMARY KEY (message, n)
			) WITHOUT ROWID;
			CREATE INDEX waiting ON recipient (destination, due) WHERE state = 2;
			CREATE INDEX expiring ON recipient (expires) WHERE state = 2;
			CREATE TABLE ended (
				message     INTEGER NOT NULL,
				n           INTEGER NOT NULL,
				state       INTEGER NOT NULL,
				pending     INTEGER NOT NULL,
				due         INTEGER NOT NULL,
				expires     INTEGER NOT NULL,
				attempts    INTEGER NOT NULL,
				delayed     INTEGER NOT NULL,
				last        INTEGER NOT NULL,
				tried       INTEGER NOT NULL,
				incarnation INTEGER NOT NULL,
				total       INTEGER NOT NULL,
				destination TEXT NOT NULL,
				meta        BLOB NOT NULL,
				PRIMARY KEY (message, n)
			) WITHOUT ROWID;
			CREATE TABLE log (
				seq     INTEGER PRIMARY KEY, -- microseconds, but always rising
				message INTEGER NOT NULL,
				n       INTEGER NOT NULL,
				prev    INTEGER NOT NULL, -- the row before it of the same recipient, 0 if none
				data    BLOB NOT NULL
			);
			CREATE TABLE segment (        -- see party.go
				id      INTEGER PRIMARY KEY,
				newest  INTEGER NOT NULL, -- of its messages
				oldest  INTEGER NOT NULL,
				entries BLOB NOT NULL     -- hash and message, 8 octets each, sorted
			);
			CREATE INDEX segment_newest ON segment (newest, id);
			CREATE TABLE unindexed (
				message INTEGER PRIMARY KEY
			)`,
		},
	}
}

// The columns of recipient and ended, as readRecipient reads them.
const recipientColumns = "message, n, state, pending, due, expires, attempts, delayed, last, tried, incarnation, total, destination, meta"

const (
	sqlInsertMessage   = "INSERT INTO message (id, meta) VALUES (?, ?)"
	sqlInsertContent   = "INSERT INTO content (message, body) VALUES (?, ?)"
	sqlInsertLarge     = "INSERT INTO large (message, upload, chunks) VALUES (?, ?, ?)"
	sqlInsertChunk     = "INSERT INTO chunk (id, body) VALUES (?, ?)"
	sqlInsertLog       = "INSERT INTO log (seq, message, n, prev, data) VALUES (?, ?, ?, ?, ?)"
	sqlInsertRecipient = "INSERT INTO recipient (" + recipientColumns + ") VALUES (?, ?, ?, 0, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?)"

	sqlSelectMessage   = "SELECT meta FROM message WHERE id = ?"
	sqlSelectRecipient = "SELECT " + recipientColumns + " FROM recipient WHERE message = ? AND n = ?"
	sqlSelectLog       = "SELECT message, n, prev, data FROM log WHERE seq = ?"

	sqlUpdateRecipient = "UPDATE recipient SET state = ?, pending = ?, due = ?, attempts = ?, delayed = ?, last = ?, tried = ?, incarnation = ? WHERE message = ? AND n = ?"
	sqlEndRecipient    = "INSERT INTO ended (" + recipientColumns + ") SELECT message, n, ?, 0, 0, expires, ?, delayed, ?, ?, 0, total, destination, meta FROM recipient WHERE message = ? AND n = ?"
	sqlDeleteRecipient = "DELETE FROM recipient WHERE message = ? AND n = ?"

	sqlDeleteContent = "DELETE FROM content WHERE message = ?"
)
