"""HTTPS servers that lie, drip, cut, redirect or vanish: every update ends well over MQTT, or with the
right error, and at no moment is there anything in the slot that is not the new version's."""
import re
import threading
import time

from harness import liar, places
from harness.firmware import Image, filler
from harness.liar import Liar
from harness.process import eventually
from harness.stock import OLD, agents, plugin, relay, relayed, stock  # noqa: F401
from pki import Pki

NEW = Image("thermo", "2.0", filler(3_000_000, 12))
PAGE = 4096
BULK = {"https": "true", "https_threshold": "64k", "https_timeout": places.patient(2)}

REFUSED, LOST = "chunk_refused", "connection_lost"
# what the server does, the error that the device reports of it, its words; None: it is good enough.
LIARS = {
    "is honest": (liar.honest, None, None),
    "is overloaded at first": (liar.is_overloaded_at_first, None, None),
    "cuts every long range": (liar.cuts_every_range, None, None),
    "sends a body without an end": (liar.sends_a_body_without_end, None, None),
    "sends wrong bytes": (liar.wrong_bytes, "segment_hash_mismatch", "bad segments|still missing"),
    "sends a wrong byte now and then": (liar.one_wrong_byte_now_and_then, "segment_hash_mismatch",
                                        "bad segments|still missing"),
    "sends another blob": (liar.another_blob, "size_mismatch|segment_hash_mismatch", ""),
    "drips": (liar.drips, "download_stalled", "less than 2048 a second"),
    "is silent": (liar.is_silent, "download_stalled", "0 bytes in"),
    "cuts after the header": (liar.cuts_after_the_header, LOST, ""),
    "closes without a word": (liar.closes_without_a_word, LOST, ""),
    "redirects to another host": (liar.redirects("https://elsewhere.invalid/"), REFUSED, "redirect"),
    "redirects to http": (liar.redirects("http://localhost/"), REFUSED, "redirect"),
    "redirects to a file": (liar.redirects("file:///etc/passwd"), REFUSED, "redirect"),
    "vanishes half way": (liar.vanishes_half_way, LOST, ""),
    "sends everything": (liar.sends_everything, REFUSED, r"whole file \(200\)"),
    "announces more": (liar.announces(1), REFUSED, "announces"),
    "announces less": (liar.announces(-1), REFUSED, "announces"),
    "sends another range": (liar.sends_another_range, REFUSED, "another range"),
    "does not have it": (liar.status(404), REFUSED, "status 404"),
    "forbids it": (liar.status(403), REFUSED, "status 403"),
    "is overloaded for ever": (liar.status(503), REFUSED, "status 503"),
    "sends headers without end": (liar.sends_headers_without_end, REFUSED, "header"),
    "sends one endless header": (liar.sends_one_endless_header, f"{REFUSED}|{LOST}", ""),
    "sends zeroes without end": (liar.sends_zeroes_without_end,
                                 f"{REFUSED}|size_mismatch|segment_hash_mismatch", ""),
    "sends noise": (liar.sends_noise, f"{REFUSED}|{LOST}", ""),
}


class Watch:
    """Looks at a slot all the time: what is in it is the new version's, or nothing."""

    def __init__(self, slot, image):
        self.slot, self.image, self.wrong, self.looks = slot, image, [], 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.ended.wait(0.2):
            content = self.slot.read_bytes() if self.slot.exists() else b""
            self.looks += 1
            for at in range(0, len(content), PAGE):
                written, good = content[at:at + PAGE], self.image.bytes[at:at + PAGE]
                # It may be half written just now.
                if written != good and any(written) and \
                        any(a not in (0, b) for a, b in zip(written, good)):
                    self.wrong.append(at)

    def close(self):
        self.ended.set()
        self.thread.join()


class Case:
    """One device, one server, one update."""

    def __init__(self, number, name, server, agents, closing, error, words):
        self.device, self.name, self.server = f"d{number}", name, server
        self.error, self.words = error, words
        self.agent = agents(self.device, settings=BULK)
        self.watch = closing.keep(Watch(self.agent.slot_b, NEW))
        server.put(NEW)

    def errors(self, plugin):
        return [report["error"] for name, report in list(plugin.reports)
                if name == self.device and "error" in report]

    def judge(self, plugin):
        """What is wrong with how it went, as sentences."""
        errors = self.errors(plugin)
        if self.agent.running_bytes() != NEW.bytes:
            yield "another image runs"
        if self.watch.wrong or not self.watch.looks:
            yield f"the slot was wrong for a while at {self.watch.wrong[:5]}"
        if self.error is None and errors:
            yield f"it was dropped: {errors[0]}"
        if self.error is None and not self.server.count:
            yield "it was never asked"
        if self.error and not any(re.fullmatch(self.error, error["name"]) and
                                  re.search(self.words, error["message"]) and
                                  "https://localhost" in error["message"] for error in errors):
            yield f"'{self.error}' ({self.words}) was expected, not {errors}"


def finish(cases, plugin, agents_run):
    for case in cases:
        case.agent.start()
    for case in cases:
        plugin.wait_hello(case.device)
        plugin.offer(case.device, NEW, 1, sources=[case.server.url])
    for case in cases:
        plugin.wait_report(case.device, "succeeded", 1, seconds=agents_run)
    found = [f"who {case.name}: {sentence}" for case in cases for sentence in case.judge(plugin)]
    assert not found, "\n".join(found) + "\n" + cases[0].agent.tail()


def test_whatever_a_server_does_the_update_ends_well_and_the_slot_is_clean(agents, plugin, pki,
                                                                         closing):
    cases = [Case(number, name, closing.keep(Liar(pki, answer)), agents, closing, error, words)
             for number, (name, (answer, error, words)) in enumerate(LIARS.items(), 1)]
    finish(cases, plugin, 60)


def test_a_server_that_cannot_be_trusted_is_told_by_name(agents, plugin, pki, directory, closing):
    bad, stranger = pki.bad(), Pki(directory / "stranger")
    plain = Liar(pki, liar.speaks_plain_http, tls=False)
    servers = {
        "is of another CA": (Liar(pki, certificate=bad["broker-other-ca"]),
                             "tls_verify_failed", "certificate"),
        "is of another host": (Liar(pki, certificate=bad["broker-wrong-host"]),
                               "tls_verify_failed", "subject name|host"),
        "has expired": (Liar(pki, certificate=bad["broker-expired"]),
                        "tls_verify_failed", "certificate"),
        "refuses the device": (Liar(pki, client_ca=stranger.ca),  # its alert may be overtaken by the end
                               f"tls_verify_failed|{LOST}", ""),
        "speaks no TLS": (plain, LOST, ""),
    }
    cases = [Case(number, name, closing.keep(server), agents, closing, error, words)
             for number, (name, (server, error, words)) in enumerate(servers.items(), 1)]
    finish(cases, plugin, 60)
    assert not any(case.server.count for case in cases), "somebody was asked"


def test_the_next_server_goes_on_where_the_first_one_stopped(agents, plugin, pki, closing):
    agent = agents("d1", settings=BULK).start()
    first = closing.keep(Liar(pki, liar.vanishes_half_way))
    second = closing.keep(Liar(pki))
    served = []
    second.answer = lambda connection, request: (served.append(len(request.data)),
                                                 liar.honest(connection, request))[1]
    first.put(NEW)
    second.put(NEW)
    plugin.wait_hello("d1")
    plugin.offer("d1", NEW, 1, sources=["https://user:word@localhost/", first.url, second.url])
    eventually(lambda: plugin.states("d1")[-1:] == ["succeeded"], 30, agent.tail)
    assert agent.running_bytes() == NEW.bytes
    assert plugin.served == len(NEW.index), "nothing but the index came over MQTT"
    assert sum(served) <= len(NEW.pack) - 3 * 65536


def test_with_mqtt_lying_too_the_update_fails_by_name_and_nothing_runs(agents, plugin, pki,
                                                                       closing):
    agent = agents("d1", settings=BULK).start()
    watch = closing.keep(Watch(agent.slot_b, NEW))
    server = closing.keep(Liar(pki, liar.wrong_bytes))
    server.put(NEW)
    plugin.spoil = lambda blob, number, data: \
        data if blob == NEW.index_digest else data[:-1] + bytes([data[-1] ^ 1])
    plugin.wait_hello("d1")
    plugin.offer("d1", NEW, 1, sources=[server.url])
    report = plugin.wait_report("d1", "failed", 1)
    assert report["error"]["name"] == "segment_hash_mismatch"
    assert "mqtt" in report["error"]["message"]
    assert agent.running_bytes() == OLD.bytes and not watch.wrong


def test_a_bulk_download_goes_on_while_the_broker_is_away(agents, plugin, pki, closing,
                                                          relay):
    agent = agents("d1", settings={**BULK, "rate_limit": "500k"})
    relayed(agent, relay)
    server = closing.keep(Liar(pki))
    server.put(NEW)
    agent.start()
    plugin.wait_hello("d1")
    plugin.offer("d1", NEW, 1, sources=[server.url])
    eventually(lambda: server.count > 2, 20, "the first ranges")
    relay.refuse()
    before = server.count
    eventually(lambda: server.count > before + 4, 20, "ranges without a broker")
    relay.open()
    plugin.wait_report("d1", "succeeded", 1)
    assert agent.running_bytes() == NEW.bytes


def test_a_canceled_bulk_download_stops(agents, plugin, pki, closing):
    agent = agents("d1", settings={**BULK, "rate_limit": "300k"}).start()
    server = closing.keep(Liar(pki))
    server.put(NEW)
    plugin.wait_hello("d1")
    plugin.offer("d1", NEW, 1, sources=[server.url])
    eventually(lambda: server.count > 1, 20, "the first ranges")
    plugin.control("d1", "cancel", release=1, reason="aborted")
    plugin.wait_report("d1", "canceled", 1)
    count, cpu = server.count, agent.cpu_seconds()
    time.sleep(1)
    assert server.count == count and agent.cpu_seconds() - cpu < 0.2
    assert agent.running_bytes() == OLD.bytes
