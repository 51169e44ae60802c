"""Which commit results name."""

import subprocess

from fairseq_ringformer.analysis.study.provenance import commit


def git(folder, *words):
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_is_the_codes_own(tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    (code / "file.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "somebody else's")
    assert commit(code) is None  # lies in a repository that does not know it
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "ours")
    assert commit(code) == git(tmp_path, "rev-parse", "HEAD")
    (code / "file.py").write_text("changed")
    assert commit(code) == git(tmp_path, "rev-parse", "HEAD") + "+"
