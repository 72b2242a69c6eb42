"""A running example service, for tests: with the fake backend unless the environment says otherwise."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import threading


class Service:
    """Started on a free port; its standard error is kept in ``log``."""

    def __init__(self, program: str, **environment: str) -> None:
        self.log: list[str] = []
        self.process = subprocess.Popen(
            [program],
            env={**os.environ, "CITADEL_SERVICE_PORT": "0", **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = 0
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.match(r"listening on .*, port (\d+)$", line):
                self.port = int(found[1])
                break
        if not self.port:
            self.process.wait()
            self.process.stderr.close()
            raise RuntimeError("".join(self.log))
        self._reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self._reader.start()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body=None, headers=None) -> tuple[int, object]:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            data = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, json.loads(data) if is_json else data.decode()
        finally:
            connection.close()

    def embed(self, **members) -> tuple[int, dict]:
        return self.ask("POST", "/embed", json.dumps(members))

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.terminate()
        code = self.process.wait(60)
        self._reader.join(10)
        self.process.stderr.close()
        return code

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_) -> None:
        code = self.stop()
        log = "".join(self.log)
        assert code == 0 and "Sanitizer" not in log, f"exit code {code}\n{log}"
