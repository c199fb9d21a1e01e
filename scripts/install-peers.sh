#!/usr/bin/env bash
# Installs the real mail programs that the tests under test/peers talk to.
#
#   sudo scripts/install-peers.sh
#
# Debian packages: swaks (with its TLS module), postfix (for smtp-source, smtp-sink and a next hop), python3, openssl, msmtp,
# curl, s-nail, git send-email, gsasl, Perl's Net::SMTP with TLS and logins; opendkim, rspamd and ClamAV (as milters);
# slapd and dovecot-core (who know passwords), apache2-utils and whois (for htpasswd and mkpasswd), chromium. npm: nodemailer, into test/peers/nodemailer/node_modules, and puppeteer-core with axe-core, into
# test/peers/browser/node_modules, as the package-lock.json of each folder says.
# Nothing is configured and no daemon is started: the tests start what they need on loopback, from folders of their own.
# What is there already is left alone, so a second run takes a second.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(swaks libnet-ssleay-perl postfix python3 openssl ca-certificates procps chromium
	msmtp curl s-nail git git-email libmailtools-perl libio-socket-ssl-perl libauthen-sasl-perl gsasl opendkim opendkim-tools
	rspamd clamav-daemon clamav-milter slapd dovecot-core apache2-utils whois)

missing=()
for package in "${packages[@]}"; do
	if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
		missing+=("$package")
	fi
done

# A package's installation would start its daemon on port 25. policy-rc.d says no to that (Debian policy, invoke-rc.d);
# one that the machine has already is left as it is.
policy=/usr/sbin/policy-rc.d
ours=no
forget_policy() {
	if [ "$ours" = yes ]; then rm -f "$policy"; fi
}
trap forget_policy EXIT

if [ "${#missing[@]}" -gt 0 ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "install-peers: ${missing[*]} must be installed, and that needs root; run: sudo $0" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	if [ ! -e "$policy" ]; then
		ours=yes
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	apt-get -qq -o DPkg::Lock::Timeout=300 update
	# Answers the questions that the installations of postfix and slapd ask: write no configuration.
	if command -v debconf-set-selections >/dev/null; then
		echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
		echo "slapd slapd/no_configuration boolean true" | debconf-set-selections
	fi
	apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}" >/dev/null
fi

for peer in test/peers/nodemailer test/peers/browser; do
	if [ ! -e "$peer/node_modules/.package-lock.json" ]; then
		if ! command -v npm >/dev/null; then
			echo "install-peers: npm is missing; $peer needs Node 18 or newer with npm" >&2
			exit 1
		fi
		npm ci --prefix "$peer" --no-audit --no-fund --loglevel=error
	fi
done

echo "peers: $(swaks --version | head -n 1), postfix $(postconf -d -h mail_version), $(python3 --version), slapd $(dpkg-query -W -f '${Version}' slapd), dovecot $(dovecot --version), nodemailer $(node -p "require('./test/peers/nodemailer/node_modules/nodemailer/package.json').version"), $(chromium --version 2>/dev/null | head -n 1)"
