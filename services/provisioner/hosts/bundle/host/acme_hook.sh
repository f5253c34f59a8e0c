#!/bin/sh
# Called by uacme: method type identifier token authorisation. Serves HTTP-01 (RFC 8555 section 8.3) by file.
folder=/var/lib/sendchief/acme/www/.well-known/acme-challenge
[ $# -eq 5 ] || exit 85
case "$4" in *[!A-Za-z0-9_-]*|"") exit 1 ;; esac
case "$1/$2" in
  begin/http-01) umask 022; printf '%s' "$5" > "$folder/$4" ;;
  done/http-01|failed/http-01) rm -f "$folder/$4" ;;
  *) exit 1 ;;
esac
