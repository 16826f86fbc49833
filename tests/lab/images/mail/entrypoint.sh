#!/bin/bash
# LAB_UID: the user of the host who reads the mailboxes (root reads them anyway).
set -euo pipefail
uid=${LAB_UID:-0}
if [ "$uid" != 0 ]; then
  usermod -o -u "$uid" labmail
fi
chown labmail /mail
chmod 755 /mail
exec smtpd -d
