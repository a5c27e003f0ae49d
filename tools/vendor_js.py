"""Bundle the JavaScript libraries of the dashboard into `phantomlink/web/static/vendor`.

A developer runs it when a version changes; it needs Node.js and npm. What it writes is committed,
so neither installing nor serving PhantomLink needs them. `vendor.json` names each library with its
version, its licence and where it comes from, and the SHA-256 of the bundle, which a test compares.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

TARGET = Path(__file__).parent.parent / "phantomlink" / "web" / "static" / "vendor"
BUNDLER = "esbuild@0.28.2"
LIBRARIES = {
    "preact": "11.2.0",
    "@preact/signals": "2.11.4",
    "@preact/signals-core": "1.14.5",
    "htm": "3.1.1",
}
ENTRY = """\
export { h, render, Fragment } from "preact";
export { signal, computed, effect, batch, untracked } from "@preact/signals";
import { h } from "preact";
import htm from "htm";
export const html = htm.bind(h);
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "package.json").write_text("{}")
        (folder / "entry.js").write_text(ENTRY)
        wanted = [f"{library}@{version}" for library, version in LIBRARIES.items()]
        _run(folder, "npm", "install", "--no-audit", "--no-fund", *wanted, BUNDLER)
        # Without its install script npm's launcher is not there yet; the module itself is enough.
        _run(
            folder,
            *("npx", "esbuild", "entry.js", "--bundle", "--minify", "--format=esm"),
            *("--legal-comments=none", "--target=es2022", "--outfile=preact.js"),
        )
        bundle = (folder / "preact.js").read_bytes()
        licences, table = [], []
        for library, version in LIBRARIES.items():
            package = folder / "node_modules" / library
            about = json.loads((package / "package.json").read_text())
            if about["version"] != version:
                raise SystemExit(f"{library}: got {about['version']}, wanted {version}")
            table.append({"name": library, "version": version, "licence": about["license"]})
            licences.append(f"{library} {version}\n\n{(package / 'LICENSE').read_text().strip()}\n")
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / "preact.js").write_bytes(bundle)
    (TARGET / "LICENSES.txt").write_text(f"\n{'-' * 72}\n\n".join(licences))
    files = {"preact.js": {"sha256": hashlib.sha256(bundle).hexdigest(), "bundled_with": BUNDLER}}
    (TARGET / "vendor.json").write_text(
        json.dumps({"libraries": table, "files": files}, indent=2) + "\n"
    )
    print(f"{TARGET / 'preact.js'}: {len(bundle):,} bytes")


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
