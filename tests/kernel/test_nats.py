"""The child stream server starts, whoever takes its ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from thap.kernel.errors import UnavailableError
from thap.kernel.nats import NatsServer, free_port
from thap.kernel.settings import Settings, load_settings


def test_free_ports_differ_and_are_none_that_outgoing_connections_get() -> None:
    ports = {free_port() for _ in range(20)}
    assert len(ports) > 15
    assert max(ports) < 32_768


def test_a_port_taken_between_choice_and_start_is_chosen_anew(settings: Settings) -> None:
    server = NatsServer(settings)
    server.prepare()
    chosen = server.port
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", chosen))
        thief.listen()
        server.start()
        try:
            assert server.alive() and server.port != chosen
        finally:
            server.stop()


def test_a_server_that_has_listened_keeps_its_ports(settings: Settings) -> None:
    server = NatsServer(settings)
    server.start()
    server.stop()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", server.port))
        thief.listen()
        with pytest.raises(UnavailableError, match="Error listening on port"):
            server.start()
    server.stop()


def test_the_server_of_another_centre_on_the_port_is_not_taken_for_ones_own(settings: Settings, tmp_path: Path) -> None:
    """Two that chose one port at once: the later is not content with the greeting of the other."""
    other = NatsServer(load_settings(tmp_path / "other", port=0, mqtt_port=0))
    own = NatsServer(settings)
    other.start()
    try:
        own.prepare()
        own.port = other.port
        own._write_config()
        own.start()
        assert own.port != other.port and own.alive() and other.alive()
        assert own._answers() and other._answers()
    finally:
        own.stop()
        other.stop()
