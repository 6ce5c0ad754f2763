"""Which test shows what happens at which fault. A test that is renamed or removed must be changed here too.

The soaks (test_soak.py, test_soak_apiserver.py) inject most of these at random, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[2]

WIRE, REAL, PROXY, SERVER, CONFIG = (
    "integration/informers/test_faults.py",
    "integration/informers/test_faults_apiserver.py",
    "integration/informers/test_proxies.py",
    "integration/informers/test_apiserver.py",
    "unit/informers/test_config.py",
)

TABLE: Final[dict[str, list[tuple[str, str]]]] = {
    "EOF mid-line": [(WIRE, "half a line, then EOF"), (WIRE, "half a line, then a reset")],
    "half lines": [(WIRE, "byte by byte"), (WIRE, "half a line, then a good end")],
    "silent dead connection": [
        (WIRE, "test_silent_dead_watch_is_given_up_and_resumed"),
        (REAL, "test_frozen_network_is_noticed_and_nothing_is_lost"),
    ],
    "410 on watch": [(WIRE, "410 in the watch")],
    "410 on resume": [
        (WIRE, "410 as an answer to the resume"),
        (SERVER, "test_version_from_before_a_restart_is_gone_and_lost_deletions_come_as_tombstones"),
    ],
    "410 on a list page": [(WIRE, "410 on a page")],
    "429 with Retry-After in seconds, and as a date": [
        (WIRE, "test_retry_after_is_waited_out"),
        (WIRE, "test_refusals_become_exceptions_whatever_their_form"),
        (WIRE, "429 in the watch"),
    ],
    "burst of 500": [(WIRE, "burst of 500"), (WIRE, "500 on a page"), (WIRE, "500 in the watch")],
    "401, token rotated": [
        (WIRE, "test_rotated_token_is_fetched_after_a_401_and_the_failed_call_is_not_replayed"),
        (WIRE, "401, then well again"),
        (REAL, "test_token_that_expired_is_fetched_again"),
        (CONFIG, "test_token_file_is_read_again_when_five_minutes_old_or_refused"),
        (CONFIG, "test_exec_plugin_is_run_again_when_its_token_is_refused"),
        (CONFIG, "test_server_authority_and_rotating_token"),
    ],
    "409 on write": [
        (WIRE, "test_conflict_on_a_write_is_told_once"),
        (REAL, "test_conflict_on_a_write_changes_nothing"),
    ],
    "delete missed while disconnected": [
        (WIRE, "deletion missed while away"),
        (SERVER, "test_changes_made_while_disconnected_are_not_lost"),
    ],
    "same name, new uid": [
        (WIRE, "deleted while away and created anew"),
        (WIRE, "deleted and created anew in a gap of history"),
        (SERVER, "test_delete_and_recreate_under_one_name"),
    ],
    "bookmark-only stream": [(WIRE, "bookmarks only, then EOF")],
    "malformed event": [(WIRE, "malformed event"), (WIRE, "undecodable object"), (WIRE, "event nested too deep")],
    "oversized event": [
        (WIRE, "oversized event"),
        (WIRE, "oversized event while listing"),
        (WIRE, "test_endless_line_is_given_up_at_the_limit"),
        (WIRE, "test_answer_that_expands_beyond_reason_is_not_read_to_its_end"),
    ],
    "unknown event type": [(WIRE, "unknown event type")],
    "repeated and old events": [(WIRE, "repeated events"), (WIRE, "repeated deletion of an earlier object")],
    "compressed answers": [(WIRE, "compressed pages"), (WIRE, "test_compressed_watch_is_read_as_it_comes")],
    "TLS: unknown authority": [
        (PROXY, "test_certificate_of_another_authority_is_refused"),
        (SERVER, "test_server_with_another_authority_is_not_trusted"),
    ],
    "TLS: expired": [(PROXY, "test_certificate_that_has_expired_is_refused")],
    "TLS: wrong host": [(PROXY, "test_certificate_for_another_name_is_refused_unless_that_name_is_expected")],
    "TLS: authority changed on disk": [
        (PROXY, "test_authority_that_changed_on_disk_is_trusted_from_the_next_request"),
    ],
    "TLS: none at all": [(PROXY, "test_server_that_speaks_no_tls_is_a_transport_error")],
    "reset while a request is written": [
        (WIRE, "test_connection_reset_while_a_request_is_being_written_is_a_transport_error"),
    ],
    "reset while a write's answer is read": [
        (WIRE, "test_connection_lost_while_writing_is_told_and_not_replayed"),
        (WIRE, "test_write_on_a_kept_connection_that_died_is_not_repeated_but_a_read_is"),
        (REAL, "test_answer_to_a_write_that_is_cut_leaves_the_truth_to_the_watch"),
    ],
    "DNS": [
        (WIRE, "test_name_that_does_not_resolve_is_a_transport_error"),
        (WIRE, "test_host_that_cannot_be_one_is_refused_at_once"),
    ],
    "clock jumps": [(WIRE, "test_wall_clock_that_jumps_changes_nothing")],
    "redirects": [(WIRE, "test_redirects_are_not_followed_so_tokens_stay_home"), (WIRE, "redirect")],
    "proxies": [
        (PROXY, "test_http_proxy_that_refuses_is_a_transport_error_without_its_password"),
        (PROXY, "test_proxy_that_breaks_off_is_a_transport_error"),
        (PROXY, "test_watch_does_not_wait_for_ever_for_a_proxy_that_says_nothing"),
        (PROXY, "test_proxy_that_is_not_there_is_a_transport_error"),
    ],
    "answers that are not HTTP": [(WIRE, "test_noise_is_a_transport_error_of_one_short_line")],
    "restored from a backup": [
        (WIRE, "test_server_restored_from_a_backup_is_found_out_by_its_silence"),
        (REAL, "test_watch_from_a_version_yet_to_come_opens_and_is_silent"),
    ],
    "failing handler": [("unit/informers/test_informer.py", "test_failing_handler_harms_nobody")],
}


@pytest.mark.parametrize("fault", TABLE)
def test_fault_has_its_tests(fault: str) -> None:
    for file, name in TABLE[fault]:
        wanted = f"def {name}(" if name.startswith("test_") else f'Fault("{name}"'
        assert wanted in (TESTS / file).read_text(), f"{fault}: {name} is not in {file}"
        print(f"{fault}: {file}: {name}")
