"""The root helper of an installed host: everything that can be asked of it, by name."""

import os
import sys

from . import apply, bootstrap, certificates, facts, mail, mailstore, probe


def main() -> int:
    os.environ["PATH"] = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ["LC_ALL"] = "C.UTF-8"
    return bootstrap.serve(
        {
            **bootstrap.VERBS,
            "apply": apply.apply_request,
            "facts": facts.facts_request,
            "certificates": certificates.certificates_request,
            "probe": probe.probe_request,
            "mail-log": mail.mail_log,
            "queue": mail.queue,
            "mail-quiet": mailstore.quiet,
            "mail-give": mailstore.give,
            "mail-take": mailstore.take,
            "mail-forget": mailstore.forget,
            "webmail-key": apply.webmail_key,
            "selftest-password": apply.selftest_password,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
