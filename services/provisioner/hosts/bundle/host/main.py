"""The root helper of an installed host: everything that can be asked of it, by name."""

import os
import sys

from . import apply, bootstrap, certificates, facts, mail, probe


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
            "webmail-key": apply.webmail_key,
            "selftest-password": apply.selftest_password,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
