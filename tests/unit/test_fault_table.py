"""Which test shows what happens at which fault. A test that is renamed or removed must be changed here too.

The list of faults stands by itself, so that a row cannot get lost together with its tests.

The soaks (test_soak.py, test_soak_apiserver.py) inject most of these at random, too.
"""

from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]

FAULTS: Final = """
    EOF mid-line; half lines; malformed event; oversized event; unknown event type; repeated and old events;
    bookmark-only stream; quiet kind; silent dead connection; compressed answers; answers that are not HTTP;
    410 on watch; 410 on resume; 410 on a list page;
    429 with Retry-After in seconds, and as a date; burst of 500; 401, token rotated; 409 on write; redirects; proxies;
    TLS: unknown authority; TLS: expired; TLS: wrong host; TLS: authority changed on disk; TLS: none at all;
    reset while a request is written; reset while a write's answer is read; DNS; clock jumps; restored from a backup;
    delete missed while disconnected; same name, new uid; informer stopped and run again;
    failing handler; slow handler; handler that never returns;
    cluster turns not ready mid-reconcile; cluster removed;
    lease stolen; lease lost; lease renewed late;
    crash between any two writes of a plan
"""
"""Every fault that must have a row."""

WIRE, REAL, PROXY, SERVER, CONFIG, INFORMER, HANDLERS, LEASE, HISTORIES = (
    "integration/informers/test_faults.py",
    "integration/informers/test_faults_apiserver.py",
    "integration/informers/test_proxies.py",
    "integration/informers/test_apiserver.py",
    "unit/informers/test_config.py",
    "unit/informers/test_informer.py",
    "unit/informers/test_handlers.py",
    "unit/runtime/test_leader_election.py",
    "model/test_histories.py",
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
    "malformed event": [
        (WIRE, "malformed event"),
        (WIRE, "undecodable object"),
        (WIRE, "event nested too deep"),
        (WIRE, "object nested too deep on a page"),
    ],
    "oversized event": [
        (WIRE, "oversized event"),
        (WIRE, "oversized event while listing"),
        (WIRE, "test_endless_line_is_given_up_at_the_limit"),
        (WIRE, "test_answer_that_expands_beyond_reason_is_not_read_to_its_end"),
    ],
    "unknown event type": [(WIRE, "unknown event type")],
    "repeated and old events": [(WIRE, "repeated events"), (WIRE, "repeated deletion of an earlier object")],
    "compressed answers": [
        (WIRE, "compressed pages"),
        (WIRE, "test_compressed_watch_was_not_asked_for_and_is_not_read"),
    ],
    "TLS: unknown authority": [
        (PROXY, "test_certificate_of_another_authority_is_refused"),
        (SERVER, "test_server_with_another_authority_is_not_trusted"),
    ],
    "TLS: expired": [(PROXY, "test_certificate_that_has_expired_is_refused")],
    "TLS: wrong host": [(PROXY, "test_certificate_for_another_name_is_refused_unless_that_name_is_expected")],
    "TLS: authority changed on disk": [(PROXY, "test_authority_that_changed_on_disk_is_trusted_from_the_next_request")],
    "TLS: none at all": [(PROXY, "test_server_that_speaks_no_tls_is_a_transport_error")],
    "reset while a request is written": [
        (WIRE, "test_connection_reset_while_a_request_is_being_written_is_a_transport_error")
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
    "clock jumps": [
        (WIRE, "test_wall_clock_that_jumps_changes_nothing"),
        (LEASE, "test_wall_clock_jumps_change_nothing"),
    ],
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
        (REAL, "test_server_that_went_back_is_found_out_and_listed"),
    ],
    "quiet kind": [
        (WIRE, "test_quiet_kind_costs_a_list_of_one_at_each_silence_and_no_warning"),
        (REAL, "test_quiet_kind_is_not_listed_again"),
    ],
    "informer stopped and run again": [
        (
            "unit/informers/test_informer.py",
            "test_what_a_stream_told_before_it_was_stopped_is_no_part_of_the_next_list",
        ),
        ("unit/informers/test_model.py", "informer_is_stopped_and_run_again"),
    ],
    "failing handler": [
        (INFORMER, "test_failing_handler_harms_nobody"),
        (HANDLERS, "test_failing_handler_that_awaits_is_logged_and_goes_on"),
    ],
    "slow handler": [
        (HANDLERS, "test_slow_handler_is_named_in_the_log_once_and_once_when_it_is_quick_again"),
        (INFORMER, "test_nothing_is_read_from_the_watch_while_a_handler_has_its_turn"),
    ],
    "handler that never returns": [(HANDLERS, "test_handler_that_never_returns_harms_no_other_and_nobodys_memory")],
    "cluster turns not ready mid-reconcile": [
        (HISTORIES, "fare"),
        (
            "unit/standalone/reconcilers/test_execution.py",
            "test_a_cluster_that_is_not_ready_is_waited_for_and_logged_once",
        ),
        ("unit/reconcilers/test_dispatch.py", "test_a_provider_that_is_not_ready_keeps_its_endpoints_everywhere"),
    ],
    "cluster removed": [
        (HISTORIES, "toggle_cluster"),
        ("unit/standalone/reconcilers/test_cluster.py", "test_cluster_leaves_step_by_step"),
        ("integration/standalone/test_leaving.py", "test_a_cluster_leaves_and_takes_nothing_of_others_along"),
    ],
    "lease stolen": [
        (LEASE, "test_stolen_lease_ends_leadership_at_the_next_renewal"),
        (
            "integration/product/test_restarts.py",
            "test_a_leader_whose_lease_was_stolen_ends_with_1_and_leaves_the_lease_to_the_thief",
        ),
    ],
    "lease lost": [
        (LEASE, "test_leader_gives_up_in_time_when_the_server_hangs"),
        (LEASE, "test_deleted_lease_is_created_anew"),
    ],
    "lease renewed late": [
        (LEASE, "test_slow_answer_does_not_stretch_the_term"),
        (LEASE, "test_slow_renewal_does_not_stretch_the_term_either"),
    ],
    "crash between any two writes of a plan": [
        ("model/test_crash_points.py", "test_killed_anywhere_the_next_process_completes_it"),
        (HISTORIES, "crash"),
    ],
}


def test_every_fault_has_its_row() -> None:
    assert {fault.strip() for fault in FAULTS.replace("\n    ", " ").split(";")} == TABLE.keys()


@pytest.mark.parametrize("fault", TABLE)
def test_fault_has_its_tests(fault: str) -> None:
    for file, name in TABLE[fault]:
        text = (TESTS / file).read_text()
        assert f"def {name}(" in text or f'Fault("{name}"' in text, f"{fault}: {name} is not in {file}"
        print(f"{fault}: {file}: {name}")
