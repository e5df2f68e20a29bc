"""Asks the advisory service about what goes to Lambda, by pip-audit, and says what it was told of.

pip-audit passes over what the service does not know, and says that nothing was found; so where the service cannot be
reached, or another answers in its place, nothing has been looked at. That is said here, and fails only with --strict.
"""

import argparse
import json
import subprocess
import sys
from typing import Any

from pins import ARTEFACTS, REQUIREMENTS

SECONDS = 15


def asked(pip_audit: str, file: str) -> list[dict[str, Any]] | None:
    """Return what pip-audit says of each distribution of a requirements file; None if it has no answer at all."""
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
    command = [pip_audit, *options, "--timeout", str(SECONDS), "-r", str(REQUIREMENTS / f"{file}.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(done.stderr.strip()[-500:], file=sys.stderr)
        return None


def verdict(answers: list[dict[str, Any]] | None, *, strict: bool) -> tuple[int, list[str]]:
    """Return the exit code, and what to say."""
    known = [each for each in answers or [] if "vulns" in each]
    if answers is None or not known:
        said = "nothing was audited: the advisory service cannot be reached from here; CI asks it"
        return int(strict), [said]
    lines = [
        f"{each['name']} {each['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'no version'}"
        for each in known
        for found in each["vulns"]
    ]
    unknown = [each["name"] for each in answers if "vulns" not in each]
    if unknown:
        lines.append(f"the advisory service does not know {', '.join(unknown)}")
    return (1, lines) if lines else (0, [f"{len(known)} distributions, no known vulnerability"])


def main() -> int:
    """Audit each file. Return 1 if a vulnerability is known, else 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pip_audit", help="path of pip-audit")
    parser.add_argument("--strict", action="store_true", help="fail where the service cannot be reached")
    arguments = parser.parse_args()
    answers = [asked(arguments.pip_audit, file) for file in ARTEFACTS]
    together = None if None in answers else [each for those in answers if those for each in those]
    code, lines = verdict(together, strict=arguments.strict)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
