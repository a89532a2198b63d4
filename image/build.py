"""Builds Outgate's image where there is no registry; the archive is kept while its inputs stay.

The base is made by debootstrap, once a month; buildah does what `image/Containerfile` says. What
goes in is what `image/Containerfile.dockerignore` lets through. Runs on the standard library, as
root. Says what it does on stderr and prints one line on stdout: the path of the archive (a
docker-archive, for `ctr images import` or `docker load`).
"""

import argparse
import configparser
import contextlib
import datetime
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTAINERFILE = ROOT / "image" / "Containerfile"
IGNORE_FILE = ROOT / "image" / "Containerfile.dockerignore"
LOCK = ROOT / "image" / "requirements.lock"

SUITE = "bookworm"  # libnftables 1.0.6: what later ones write makes the node's own older nft crash
MIRROR = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
TAG = "localhost/outgate:dev"
PYTHON = "3.11"  # of the suite
ARCHIVES_KEPT = 3
IMAGES_KEPT = 60  # of buildah's layer cache: about 12 builds
DRIVERS = ["overlay", "vfs"]
UPGRADE = (
    "apt-get -qq update && apt-get -qq upgrade && rm -rf /var/lib/apt/lists/* /var/cache/apt/*"
)
DOCUMENTATION = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale")
CACHES = ("var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*")


class BuildError(Exception):
    """The image can't be built; the message says what to do."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the image (or find it built), or write the lock file."""
    parser = argparse.ArgumentParser(prog="image/build.py", description=__doc__)
    parser.add_argument("--base", help="take this image from a registry instead of debootstrap")
    parser.add_argument("--tag", default=TAG, help=f"the image's name (default {TAG})")
    parser.add_argument("--force", action="store_true", help="build although nothing has changed")
    parser.add_argument(
        "--lock",
        action="store_true",
        help="write image/requirements.lock from setup.cfg, with uv, and stop",
    )
    options = parser.parse_args(arguments)
    try:
        if options.lock:
            write_lock()
        else:
            print(build(base=options.base, tag=options.tag, force=options.force))
    except BuildError as error:
        sys.exit(f"image: {error}")


def build(*, base: str | None, tag: str, force: bool) -> Path:
    """Build the image unless its archive is there; the archive's path.

    BuildError if a program is missing or fails.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    key = base or f"{SUITE}-{datetime.datetime.now(tz=datetime.UTC):%Y-%m}"
    archive = cache / f"outgate-{version()}-{inputs_hash(inputs(), salt=f'{key} {tag}')}.tar"
    with exclusive(cache / "lock"):
        if archive.exists() and not force:
            say(f"unchanged: {archive.stat().st_size >> 20} MB")
            os.utime(archive)
            return archive
        started = time.monotonic()
        for rest in cache.glob("base-*"):
            shutil.rmtree(rest)  # of a build that was killed
        store = Store(cache)
        store.open()
        built = store.build(base or store.base(key), tag)
        store.save(built, tag, archive)
        forget_old(cache)
        say(f"built in {time.monotonic() - started:.0f} s, {archive.stat().st_size >> 20} MB")
    return archive


class Store:
    """Buildah with a storage of its own under the cache folder."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._log = cache / "build.log"
        self._log.write_bytes(b"")
        self._buildah: tuple[str, ...] = ()

    def open(self) -> None:
        """Choose a storage driver; BuildError if an image can't be built here at all."""
        if os.geteuid() != 0:
            raise BuildError("buildah's chroot isolation and debootstrap need root: use sudo")
        missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
        if missing:
            raise BuildError(f"missing: apt-get install {' '.join(missing)}")
        # on tmpfs: what is mounted must not be remembered over a reboot
        runtime = Path("/run/outgate-image") / hashlib.sha256(bytes(self._cache)).hexdigest()[:8]
        # overlay is three times as fast; it can't sit on another overlay (in a container: vfs)
        drivers = [os.environ["STORAGE_DRIVER"]] if "STORAGE_DRIVER" in os.environ else DRIVERS
        for driver in drivers:
            self._buildah = (
                "buildah",
                f"--root={self._cache / driver}",
                f"--runroot={runtime / driver}",
                f"--storage-driver={driver}",
            )
            with contextlib.suppress(BuildError):
                self._ask("images", "--quiet")
                return
        raise BuildError(f"buildah can use none of {', '.join(drivers)}, see {self._log}")

    def base(self, key: str) -> str:
        """The name of a minimal Debian, made if this month's is not there yet."""
        name = f"localhost/outgate-base:{key}"
        if self._ask("images", "--quiet", "--filter", f"reference={name}"):
            return name
        say(f"base: debootstrap {SUITE} (about a minute, once a month)")
        with tempfile.TemporaryDirectory(dir=self._cache, prefix="base-") as folder:
            root = Path(folder)
            # debootstrap mounts /proc; in a namespace of its own no mount survives a kill
            command = ("unshare", "--mount", "debootstrap", "--variant=minbase")
            self._run(*command, "--include=ca-certificates", SUITE, folder, MIRROR)
            slim(root)
            container = self._ask("from", "scratch")
            self._run(*self._buildah, "add", "--quiet", container, folder, "/")
            self._run(*self._buildah, "config", "--cmd=bash", container)
            run = (*self._buildah, "run", "--isolation=chroot", container, "--", "sh", "-c")
            self._run(*run, UPGRADE)
            self._run(*self._buildah, "commit", "--quiet", "--rm", container, name)
        return name

    def build(self, base: str, tag: str) -> str:
        """Build by the Containerfile; the image's id."""
        if len(self._ask("images", "--all", "--quiet").splitlines()) > IMAGES_KEPT:
            self._run(*self._buildah, "rmi", "--prune")
        say(f"building {tag}")
        started = time.monotonic()
        id_file = self._cache / "image.id"
        command = [*self._buildah, "bud", "--isolation=chroot", "--layers"]
        command += ["--pull-never" if base.startswith("localhost/") else "--pull"]
        command += [f"--build-arg=BASE={base}", f"--file={CONTAINERFILE}"]
        command += [f"--ignorefile={IGNORE_FILE}", f"--iidfile={id_file}", f"--tag={tag}"]
        authority = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
        if authority and Path(authority).is_file():
            command += [f"--secret=id=ca,src={authority}"]
        if "PIP_INDEX_URL" in os.environ:
            command += [f"--build-arg=PIP_INDEX_URL={os.environ['PIP_INDEX_URL']}"]
        self._run(*command, str(ROOT))
        say(f"image built ({time.monotonic() - started:.0f} s)")
        return id_file.read_text().strip()

    def save(self, image: str, tag: str, archive: Path) -> None:
        """Write the image as an archive, whole or not at all."""
        partial = archive.with_suffix(".partial")
        partial.unlink(missing_ok=True)  # buildah does not add to an archive
        self._run(*self._buildah, "push", "--quiet", image, f"docker-archive:{partial}:{tag}")
        partial.rename(archive)

    def _ask(self, *arguments: str) -> str:
        return self._call([*self._buildah, *arguments], stdout=subprocess.PIPE)

    def _run(self, *command: str) -> None:
        self._call(command, stdout=None)

    def _call(self, command: Sequence[str], *, stdout: int | None) -> str:
        with self._log.open("ab") as log:
            done = subprocess.run(
                command, check=False, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log
            )
        if done.returncode:
            tail = self._log.read_text(errors="replace").splitlines()[-15:]
            raise BuildError(
                f"{' '.join(command[:1])} failed, see {self._log}; its last lines:\n"
                + "\n".join(tail)
            )
        return (done.stdout or b"").decode().strip()


def slim(root: Path) -> None:
    """Take out of a fresh Debian what no container needs, as Debian's own slim images do."""
    for pattern in (*(f"{folder}/*" for folder in DOCUMENTATION), *CACHES):
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    (root / "etc/dpkg/dpkg.cfg.d/outgate").write_text(
        "".join(f"path-exclude /{folder}/*\n" for folder in DOCUMENTATION)
    )
    (root / "etc/apt/sources.list").write_text(
        f"deb {MIRROR} {SUITE} main\ndeb {MIRROR} {SUITE}-updates main\n"
        f"deb {SECURITY} {SUITE}-security main\n"
    )


def inputs() -> list[Path]:
    """Every file that makes the image what it is, sorted: what the ignore file lets through."""
    found = {CONTAINERFILE, IGNORE_FILE, Path(__file__).resolve()}
    for line in IGNORE_FILE.read_text().splitlines():
        if line.startswith("!"):
            path = ROOT / line[1:]
            found.update([path] if path.is_file() else path.rglob("*"))
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def inputs_hash(files: Sequence[Path], *, salt: str) -> str:
    """Twelve hexadecimal digits that change with any file's name or content."""
    total = hashlib.sha256(salt.encode())
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"\n{file.relative_to(ROOT)} {content}".encode())
    return total.hexdigest()[:12]


def requirements() -> list[str]:
    """What the wheel requires, by setup.cfg."""
    return _setup().get("options", "install_requires").split()


def version() -> str:
    """The version in setup.cfg."""
    return _setup().get("metadata", "version")


def write_lock() -> None:
    """Pin what the image installs, with hashes, for every architecture that has wheels."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if uv is None:
        raise BuildError("missing: uv (it comes with hack/setup)")
    command = [uv, "pip", "compile", "--quiet", "--upgrade", "--universal", "--generate-hashes"]
    command += ["--no-annotate", "--no-header", "--only-binary=:all:"]
    command += [f"--python-version={PYTHON}", f"--output-file={LOCK}", "-"]
    done = subprocess.run(command, check=False, text=True, input="\n".join(requirements()))
    if done.returncode:
        raise BuildError("uv could not resolve install_requires of setup.cfg")
    say(f"wrote {LOCK}")


def cache_folder() -> Path:
    """Where base, layers and archives are kept: `image` in $OUTGATE_CACHE or in .cache."""
    return Path(os.environ.get("OUTGATE_CACHE") or ROOT / ".cache").resolve() / "image"


def forget_old(cache: Path) -> None:
    """Remove all but the newest archives."""
    archives = sorted(cache.glob("outgate-*.tar"), key=lambda path: path.stat().st_mtime)
    for archive in archives[:-ARCHIVES_KEPT]:
        archive.unlink()


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """One build at a time; the next one waits and finds the work done."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Tell the user, beside the answer."""
    print(f"image: {text}", file=sys.stderr, flush=True)


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


if __name__ == "__main__":
    main()
