"""The example service over HTTP, with the fake backend: every kind of answer, and clients that misbehave.

usage: test_service.py PROGRAM FAKE-BACKEND FAKE-PACKS [unittest options]
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import socket
import subprocess
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service import Service

sys.path.append(str(Path(__file__).parents[1] / "fake"))
import make_packs

PROGRAM, BACKEND, PACKS = sys.argv[1:4]
ENVIRONMENT = {
    "CITADEL_TORCH_BACKEND": BACKEND,
    "CITADEL_MODEL_PATH": PACKS,
    "CITADEL_SERVICE_MODELS": f"tiny,moody,no-such-model,{PACKS}/prompted,bad/dim-other",
    "CITADEL_SERVICE_MAX_BODY": "20000",
    "CITADEL_SERVICE_MAX_TEXTS": "20",
    "CITADEL_SERVICE_TIMEOUT": "20",
}


def start(**environment: str) -> Service:
    return Service(PROGRAM, **{**ENVIRONMENT, **environment})


def raw(service: Service, data: bytes, *, end: bool = True) -> bytes:
    """What comes back for these bytes until the service closes."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while more := connection.recv(65536):
            received += more
        return received


def post(body: bytes, headers: str = "") -> bytes:
    head = f"POST /embed HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


@contextlib.contextmanager
def begun(service: Service):
    """A connection whose request has begun: the service waits for the last byte of its body."""
    data = post(b'{"text":"fox"}', "Expect: 100-continue\r\n")
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(data[:-1])
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        yield connection, data[-1:]


class Case(unittest.TestCase):
    def assert_vector(self, found: list[float], text: str) -> None:
        expected = make_packs.vector(text, 0.0, True)
        self.assertEqual(len(found), len(expected))
        for a, b in zip(found, expected, strict=True):
            self.assertLess(abs(a - b), 1e-6)

    def assert_error(self, answer: tuple[int, dict], status: int, pattern: str) -> None:
        self.assertEqual(answer[0], status, answer)
        self.assertEqual(answer[1]["error"]["status"], status)
        self.assertRegex(answer[1]["error"]["message"], pattern)


class Answers(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.service = start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.service.__exit__()

    def test_one_text(self):
        status, answer = self.service.embed(text="the quick brown fox", model="tiny")
        self.assertEqual(status, 200)
        self.assertEqual(list(answer), ["model", "dim", "embedding", "tokens"])
        self.assertEqual((answer["model"], answer["dim"], answer["tokens"]), ("tiny", 8, 6))
        self.assert_vector(answer["embedding"], "the quick brown fox")

    def test_texts_of_the_default_model(self):
        texts = ["fox", "", "привет 東 京"]
        status, answer = self.service.embed(texts=texts)
        self.assertEqual(status, 200)
        self.assertEqual((answer["model"], answer["tokens"]), ("tiny", 3 + 2 + 5))
        for vector, text in zip(answer["embeddings"], texts, strict=True):
            self.assert_vector(vector, text)

    def test_prompt_and_a_model_by_path(self):
        _, answer = self.service.embed(text="fox", model="prompted", prompt_name="passage")
        self.assert_vector(answer["embedding"], "passage fox")
        _, answer = self.service.embed(text="fox", model="prompted", prompt_name=None)
        self.assert_vector(answer["embedding"], "query : fox")

    def test_a_nul_is_text(self):
        with_nul = self.service.embed(text="fox\0dog")
        self.assertEqual(with_nul[0], 200)
        self.assertEqual(with_nul[1], self.service.embed(text="foxdog")[1])

    def test_what_is_no_request(self):
        for body, pattern in [
            (b"", "not JSON"),
            (b"{", "not JSON: line 1, column 1"),
            (b"[1]", "an array, expected an object"),
            (b"{}", 'either "text" or "texts"'),
            (b'{"text":"a","texts":["b"]}', 'either "text" or "texts"'),
            (b'{"text":5}', '"text" is a number, expected a string'),
            (b'{"text":null}', '"text" is null'),
            (b'{"texts":"a"}', '"texts" is a string, expected an array'),
            (b'{"texts":["a",{}]}', '"texts".1. is an object'),
            (b'{"texts":[]}', "0 texts, expected 1 to 20"),
            (json.dumps({"texts": ["a"] * 21}).encode(), "21 texts, expected 1 to 20"),
            (b'{"text":"a","model":["tiny"]}', '"model" is an array'),
            (b'{"text":"a","model":"tiny\\u0000x"}', '"model" has a NUL'),
            (b'{"text":"a","prompt":"b"}', 'unknown member "prompt"'),
            (b'{"text":"a","text":"b"}', "duplicate"),
            (b'{"text":"\xff"}', "UTF-8|decode"),
            (b'{"text":"\\ud800"}', "surrogate|Unicode"),
            (b'{"text":"a"} b', "end of file"),
            (b'{"text":' + b"[" * 9000, "depth"),
            (b'{"text":"a","' + b"x" * 500 + b'":1}', "a long name"),
            (b'{"text":"a","prompt_name":"absent"}', "no prompt 'absent'|prompt"),
        ]:
            with self.subTest(body=body[:60]):
                self.assert_error(self.service.ask("POST", "/embed", body), 400, pattern)

    def test_other_models(self):
        for name in ("raw", "../tiny", f"{PACKS}/tiny", "", "é" * 150):
            with self.subTest(name=name):
                self.assert_error(self.service.embed(text="a", model=name), 404, "no model")

    def test_models_that_cannot_be_loaded(self):
        self.assert_error(
            self.service.embed(text="a", model="no-such-model"), 503, "no model 'no-such-model'"
        )
        self.assert_error(self.service.embed(text="a", model="dim-other"), 503, "dim-other")

    def test_what_the_library_refuses(self):
        self.assert_error(self.service.embed(texts=["fox", "nan"], model="moody"), 500, "NaN|finite")
        self.assert_error(self.service.embed(text="fail", model="moody"), 500, "the batch has id 7")
        self.assert_error(self.service.embed(text="oom", model="moody"), 503, "the batch has id 8")

    def test_other_paths_and_methods(self):
        self.assert_error(self.service.ask("GET", "/"), 404, "/embed")
        self.assert_error(self.service.ask("GET", "/%ff%0a"), 404, "/embed")
        self.assert_error(self.service.ask("GET", "/embed"), 405, "POST")
        self.assert_error(self.service.ask("POST", "/health", "body"), 405, "GET")

    def test_head(self):
        connection = self.service.connect()
        connection.request("HEAD", "/health")
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.read()), (200, b""))
        connection.close()

    def test_large_bodies(self):
        self.assert_error(self.service.ask("POST", "/embed", b"x" * 30000), 413, "more than 20000 bytes")
        chunks = iter([b"x" * 15000, b"y" * 15000])
        self.assert_error(self.service.ask("POST", "/embed", chunks), 413, "more than 20000 bytes")
        endless = b"POST /embed HTTP/1.1\r\nHost: here\r\nContent-Length: 99999999999999\r\n\r\n"
        self.assertIn(b" 413 ", raw(self.service, endless, end=False))
        fits = json.dumps({"text": "a" * (20000 - 12)}).encode()
        self.assertEqual(len(fits), 20000)
        self.assertEqual(self.service.ask("POST", "/embed", fits)[0], 200)

    def test_a_body_without_end_is_cut_off(self):
        head = b"POST /embed HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=60) as connection:
            connection.sendall(head)
            with self.assertRaises(OSError):
                for _ in range(10000):
                    connection.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")

    def test_no_http(self):
        for data in (
            b"\0\1\2\3\r\n\r\n",
            b"GET\r\n\r\n",
            b"POST /embed HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        ):
            raw(self.service, data)
        self.assertEqual(self.service.ask("GET", "/health")[0], 200)

    def test_clients_that_go_away(self):
        for data in (post(b'{"text":"fox"}')[:-3], post(b'{"text":"fox"}')):
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", self.service.port)) as connection:
                    connection.sendall(data)
        self.assertEqual(self.service.embed(text="fox")[0], 200)

    def test_pipelined_requests_are_answered_in_order(self):
        bodies = [b'{"text":"fox"}', b"{", b'{"text":"dog"}']
        requests = b"".join(map(post, bodies)) + b"GET /health HTTP/1.0\r\n\r\n"
        received = raw(self.service, requests, end=False)
        self.assertEqual(re.findall(rb"HTTP/1.\d (\d+) ", received), [b"200", b"400", b"200", b"200"])

    def test_a_body_of_two_lengths_is_refused(self):
        """What comes behind the shorter one is no request of its own."""
        hidden = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
        for lengths in (
            b"Content-Length: 14\r\ncontent-length: %d" % (14 + len(hidden)),
            b"Content-Length: %d\r\nTransfer-Encoding: chunked" % (24 + len(hidden)),
        ):
            body = b'{"text":"fox"}' if b"chunked" not in lengths else b'e\r\n{"text":"fox"}\r\n0\r\n\r\n'
            head = b"POST /embed HTTP/1.1\r\nHost: a\r\n" + lengths + b"\r\n\r\n"
            received = raw(self.service, head + body + hidden)
            self.assertEqual(re.findall(rb"HTTP/1.\d (\d+) ", received), [b"400"])

    def test_a_connection_is_used_again(self):
        connection = self.service.connect()
        for text in ("fox", "dog"):
            connection.request("POST", "/embed", json.dumps({"text": text}))
            self.assert_vector(json.loads(connection.getresponse().read())["embedding"], text)
        connection.close()

    def test_many_at_once(self):
        words = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "a", "b"]

        def ask(i: int) -> None:
            text = " ".join(words[(i * j) % 9 + 1] for j in range(i % 7))
            status, answer = self.service.embed(text=text, model=("tiny", "moody")[i % 2])
            self.assertEqual(status, 200)
            self.assert_vector(answer["embedding"], text)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, range(300)))

    def test_a_slow_client_holds_up_nobody(self):
        data = post(b'{"text":"fox"}')
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=60) as slow:
            for byte in data[:-1]:
                slow.sendall(bytes([byte]))
            self.assertEqual(self.service.embed(text="dog")[0], 200)
            slow.sendall(data[-1:])
            self.assertIn(b" 200 OK", slow.recv(100))

    def test_health(self):
        status, health = self.service.ask("GET", "/health")
        self.assertEqual((status, health["status"]), (200, "degraded"))
        states = {model["name"]: model for model in health["models"]}
        tiny = {"name": "tiny", "status": "ready", "form": "torchscript", "precision": "fp32", "dim": 8}
        self.assertEqual(states["tiny"], tiny)
        self.assertEqual(states["dim-other"]["status"], "failed")
        self.assertIn("no-such-model", states["no-such-model"]["error"])

    def test_metrics(self):
        status, text = self.service.ask("GET", "/metrics")
        self.assertEqual(status, 200)
        kinds = dict(re.findall(r"^# TYPE (\w+) (counter|gauge|histogram|summary)$", text, re.M))
        rows = [line for line in text.splitlines() if not line.startswith("#")]
        self.assertTrue(text.endswith("\n") and rows)
        for row in rows:
            name, value = re.fullmatch(r"(\w+)(?:\{[^{}]*\})? (\S+)", row).groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            self.assertIn(kinds.get(name) or kinds.get(base), kinds.values())
            self.assertTrue(math.isfinite(float(value)))


class Lives(Case):
    def test_busy(self):
        with start(CITADEL_SERVICE_MAX_RUNNING="1") as service:
            with begun(service) as (slow, last):
                self.assert_error(service.embed(text="dog"), 429, "too many")
                self.assertEqual(service.ask("GET", "/health")[0], 200)
                slow.sendall(last)
                self.assertIn(b" 200 OK", slow.recv(100))
            self.wait_for(lambda: service.embed(text="dog")[0] == 200)

    def wait_for(self, condition) -> None:
        for _ in range(3000):
            if condition():
                return
            time.sleep(0.01)
        self.fail("it did not come")

    def test_a_slow_client_is_cut_off(self):
        with start(CITADEL_SERVICE_TIMEOUT="1") as service:
            self.assertNotIn(b" 200 ", raw(service, post(b'{"text":"fox"}')[:-1], end=False))
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as slow:
                slow.sendall(post(b" " * 10000)[:-10000])
                with self.assertRaises(OSError):  # never idle for long, and yet not for ever
                    for _ in range(10000):
                        slow.sendall(b" ")
                        time.sleep(0.01)

    def test_running_requests_are_finished(self):
        service = start()
        with begun(service) as (running, last):
            service.terminate()
            self.wait_for(lambda: any(line == "stopping: 1 requests are running\n" for line in service.log))
            with self.assertRaises(OSError):
                service.ask("GET", "/health")
            running.sendall(last)
            self.assertIn(b" 200 OK", running.recv(100))
        self.assertEqual(service.stop(), 0)
        self.assertRegex(
            "".join(service.log), r"POST /embed 200 .* model=tiny texts=1 tokens=3\n(.*\n)*stopped"
        )

    def test_no_model_at_all(self):
        with start(CITADEL_SERVICE_MODELS="no-such-model") as service:
            status, health = service.ask("GET", "/health")
            self.assertEqual((status, health["status"]), (503, "failed"))
            self.assert_error(service.embed(text="a"), 503, "no model 'no-such-model'")

    def test_more_models_than_the_cache_takes(self):
        names = [f"number-{i}" for i in range(1, 5)]
        with start(CITADEL_SERVICE_MODELS=",".join(names), MODEL_CACHE_SIZE="2") as service:
            with ThreadPoolExecutor(8) as pool:
                answers = pool.map(lambda i: service.embed(text="fox", model=names[i % 4]), range(80))
            self.assertEqual({status for status, _ in answers}, {200})

    def test_one_line_for_a_request(self):
        with start() as service:
            service.embed(text="fox")
            service.ask("GET", "/health?a=%0Ab")
            service.ask("GET", "/%0Ab")
        lines = sorted((line for line in service.log if re.match("GET|POST", line)), reverse=True)
        self.assertRegex(lines[0], r"^POST /embed 200 [\d.]+ms bytes=15 model=tiny texts=1 tokens=3$")
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[2].startswith("GET /?b 404 "), lines)

    def test_environment(self):
        for name, value, pattern in [
            ("CITADEL_SERVICE_PORT", "65536", "0 to 65535"),
            ("CITADEL_SERVICE_PORT", "http", "0 to 65535"),
            ("CITADEL_SERVICE_MAX_BODY", "-1", "16 to"),
            ("CITADEL_SERVICE_MAX_TEXTS", "0", "1 to 65536"),
            ("CITADEL_SERVICE_TIMEOUT", "1s", "1 to 3600"),
            ("CITADEL_SERVICE_ADDRESS", "localhost", "IPv4 or IPv6"),
            ("CITADEL_SERVICE_MODELS", ",", "commas"),
            ("MODEL_CACHE_SIZE", "none", "whole number"),
        ]:
            with (
                self.subTest(name=name, value=value),
                self.assertRaisesRegex(RuntimeError, f"{name}.*{pattern}"),
            ):
                start(**{name: value})

    def test_a_port_that_is_taken(self):
        with start() as service, self.assertRaisesRegex(RuntimeError, "cannot listen on"):
            start(CITADEL_SERVICE_PORT=str(service.port))

    def test_arguments(self):
        asked = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True)
        self.assertEqual((asked.returncode, asked.stderr), (0, ""))
        self.assertIn("CITADEL_SERVICE_PORT", asked.stdout)
        self.assertEqual(subprocess.run([PROGRAM, "--port"], capture_output=True).returncode, 2)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
