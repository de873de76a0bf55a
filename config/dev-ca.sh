#!/usr/bin/env bash
# Makes a throwaway certification authority and a server certificate, for
# development and tests: dev-ca.sh FOLDER [NAME...]
#
#   FOLDER/ca.pem       what clients trust (slotbell-plugin --ca)
#   FOLDER/server.pem   the daemon's certificate, for localhost, 127.0.0.1, ::1 and every NAME
#   FOLDER/server.key   its key, ECDSA P-256, readable by the caller alone
#
# What is there and good for another day stays as it is. The authority's own
# key is thrown away at once, so whoever trusts ca.pem trusts this one
# certificate and no other. Never use it in production.
set -euo pipefail

if (($# < 1)) || [[ $1 == -* ]]; then
	echo "usage: ${0##*/} FOLDER [NAME...]" >&2
	exit 2
fi
folder=$1
shift

names=DNS:localhost,IP:127.0.0.1,IP:::1
for name in "$@"; do
	case $name in
	*:* | [0-9]*.[0-9]*.[0-9]*.[0-9]*) names+=,IP:$name ;;
	*) names+=,DNS:$name ;;
	esac
done

umask 022
mkdir -p "$folder"
cd "$folder"
# Somebody else who may write here could lead what follows elsewhere.
if [[ -z $(find . -maxdepth 0 -uid "$EUID" ! -perm /022) ]]; then
	echo "${0##*/}: $folder is not a folder that you own and you alone may write to" >&2
	exit 1
fi
# Only what is the caller's own counts: whoever else put it there has the key to it.
ours() {
	local file
	for file in "$@"; do
		[[ -f $file && -O $file && ! -L $file ]] || return 1
	done
}
if ours ca.pem server.pem server.key names && [[ $(<names) == "$names" ]] &&
	openssl x509 -checkend 86400 -noout -in server.pem >/dev/null 2>&1; then
	exit 0
fi

umask 077
new=$(mktemp -d .new.XXXXXX)
trap 'rm -rf "$new"' EXIT
openssl ecparam -name prime256v1 -genkey -noout -out "$new/ca.key"
openssl req -new -x509 -sha256 -days 30 -key "$new/ca.key" -out "$new/ca.pem" \
	-subj '/CN=Slotbell development CA' \
	-addext 'basicConstraints=critical,CA:TRUE,pathlen:0' -addext 'keyUsage=critical,keyCertSign,cRLSign'
openssl ecparam -name prime256v1 -genkey -noout -out "$new/server.key"
openssl req -new -sha256 -key "$new/server.key" -subj '/CN=localhost' -out "$new/server.csr"
openssl x509 -req -sha256 -days 30 -in "$new/server.csr" -CA "$new/ca.pem" -CAkey "$new/ca.key" \
	-set_serial "0x$(openssl rand -hex 15)" -out "$new/server.pem" -extfile <(
		echo 'basicConstraints=critical,CA:FALSE'
		echo 'keyUsage=critical,digitalSignature'
		echo 'extendedKeyUsage=serverAuth'
		echo 'subjectKeyIdentifier=hash'
		echo 'authorityKeyIdentifier=keyid'
		echo "subjectAltName=$names"
	) 2>/dev/null
echo "$names" >"$new/names"
chmod 644 "$new/ca.pem" "$new/server.pem"
mv -f "$new/server.key" "$new/server.pem" "$new/ca.pem" "$new/names" .
