package config

// LoginLimits are what one account may send; 0: any number. Accounts and app passwords may have limits of their own.
type LoginLimits struct {
	MessagesHour     int
	MessagesDay      int
	RecipientsHour   int
	RecipientsDay    int
	NewRecipientsDay int // addresses that the account never wrote to before
}

// LoginAlarm says what looks as if somebody else has a password; 0: it is not looked at.
type LoginAlarm struct {
	Networks          int // within an hour, where the password was never used before
	TimesUsual        int // messages in a day, in averages of its days
	Messages          int // in a day, below which no volume is sudden
	UnknownRecipients int // within an hour
}

// loginLimitSpecs are the keys about what a login may send.
func loginLimitSpecs() []spec {
	return []spec{
		key("login.limits.messages_hour", `300`, reload, count(0, 1_000_000),
			func(c *Config) *int { return &c.Login.Limits.MessagesHour },
			"Messages that one account may send within an hour; 0: any number. This and the next four hold for accounts that have no limits of their own (`onward account limits`)."),
		key("login.limits.messages_day", `2000`, reload, count(0, 10_000_000),
			func(c *Config) *int { return &c.Login.Limits.MessagesDay },
			"The same within a day."),
		key("login.limits.recipients_hour", `1000`, reload, count(0, 1_000_000),
			func(c *Config) *int { return &c.Login.Limits.RecipientsHour },
			"Recipients of all messages of one account within an hour."),
		key("login.limits.recipients_day", `5000`, reload, count(0, 10_000_000),
			func(c *Config) *int { return &c.Login.Limits.RecipientsDay },
			"The same within a day."),
		key("login.limits.new_recipients_day", `500`, reload, count(0, 10_000_000),
			func(c *Config) *int { return &c.Login.Limits.NewRecipientsDay },
			"Recipients within a day to whom the account never wrote before."),
		key("login.alarm.networks", `4`, reload, count(0, MaxAlarmNetworks),
			func(c *Config) *int { return &c.Login.Alarm.Networks },
			"From how many networks (IPv4 /16, IPv6 /32) within an hour, where it never was, a password is used when an alarm stops it; 0: this raises none."),
		key("login.alarm.times_usual", `10`, reload, count(0, 10_000),
			func(c *Config) *int { return &c.Login.Alarm.TimesUsual },
			"How many times the messages of a usual day one day has when an alarm stops the password, if they are also more than `alarm.messages`; 0: this raises none. Usual is the average of the days of the last 24 on which it sent, if there were three or more."),
		key("login.alarm.messages", `100`, reload, count(1, 10_000_000),
			func(c *Config) *int { return &c.Login.Alarm.Messages },
			"Messages in a day below which no volume raises an alarm."),
		key("login.alarm.unknown_recipients", `50`, reload, count(0, 1_000_000),
			func(c *Config) *int { return &c.Login.Alarm.UnknownRecipients },
			"How many recipients within an hour that do not exist (550 5.1.1) it takes to stop the password; 0: this raises none."),
	}
}

// MaxAlarmNetworks is the largest login.alarm.networks: no more networks of a password are remembered.
const MaxAlarmNetworks = 60
