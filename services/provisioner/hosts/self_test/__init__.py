"""The self-test: what a host promises, tried from outside by the control plane.

`await run_self_test(target)` answers one row per promise; the host is Ready only when every row is ok.
"""

from services.provisioner.hosts.self_test.checks import CheckResult, ExpectedRecord, Layer, SelfTestTarget
from services.provisioner.hosts.self_test.rows import ROWS, Row
from services.provisioner.hosts.self_test.run import run_self_test

__all__ = ["ROWS", "CheckResult", "ExpectedRecord", "Layer", "Row", "SelfTestTarget", "run_self_test"]
