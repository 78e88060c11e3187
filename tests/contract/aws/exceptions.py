"""Where a backend is known to be wrong: test by test, with the reason. Everything else must hold over it.

The truth is the service's documentation. A test that a backend fails unexpectedly is either a new line here or a mistake in the test; one that
it no longer fails must leave this list.
"""

from __future__ import annotations

_UNCHECKED = "answers with an internal error instead of a ValidationException"
_WRONG_EXPRESSION = "test_an_expression_that_is_wrong_is_refused_with_its_reason"
_WRONG_VALUE = "test_values_that_do_not_exist_are_refused"
_NO_PARTITION = "test_a_key_condition_that_names_no_partition_is_refused"
_UNLOCKED = "has threads and no lock around a table, so that what comes at once may be lost"
_OTHER_NAME = "refuses under another error's name"

SKIPPED: dict[str, dict[str, str]] = {
    # What is not wrong every time.
    "moto": {
        "test_a_long_poll_ends_when_a_group_is_unlocked": "a poll that has begun may miss it",
        "test_additions_at_once_are_all_counted": _UNLOCKED,
        "test_of_many_puts_at_once_one_succeeds": _UNLOCKED,
    },
}
EXCEPTIONS: dict[str, dict[str, str]] = {
    "moto": {
        # SQS
        "test_several_messages_of_a_group_come_again_oldest_first": "gives the last one first",
        "test_a_repeated_send_answers_with_the_first_message_and_delivers_nothing": "answers with a new message id",
        "test_a_repeated_send_is_dropped_after_the_first_was_deleted": "delivers it",
        "test_one_id_in_two_groups_is_two_messages_when_the_scope_is_the_group": "does not know the scope",
        "test_sequence_numbers_grow": "draws them at random",
        "test_a_handle_that_has_expired_deletes_nothing_and_is_an_error": "deletes the message",
        "test_the_handle_of_an_earlier_receive_is_an_error": "deletes the message",
        "test_visibility_cannot_be_changed_with_a_handle_that_has_expired": "changes it",
        "test_ids_have_128_printable_characters_at_most": "takes any characters",
        "test_per_group_throughput_needs_deduplication_per_group": "takes any combination",
        "test_attributes_count_towards_the_size": "counts the body alone",
        "test_characters_that_xml_does_not_have_are_refused": "takes them",
        "test_an_empty_body_is_refused": "takes it",
        "test_attributes_can_be_changed": "does not check the new value",
        # DynamoDB
        "test_conditions_hold_as_documented[word > :five-False]": "answers with an internal error when kinds differ",
        f"{_WRONG_EXPRESSION}[attribute_not_exists(pk-Syntax error]": _UNCHECKED,
        f"{_WRONG_EXPRESSION}[pk = -Syntax error]": _UNCHECKED,
        f"{_WRONG_EXPRESSION}[pk = :undefined-:undefined]": _UNCHECKED,
        f"{_WRONG_EXPRESSION}[#undefined = :v-#undefined]": _UNCHECKED,
        f"{_WRONG_EXPRESSION}[-empty]": "takes it for none",
        "test_placeholders_that_are_not_used_are_refused": "takes them",
        "test_an_item_has_400_kilobytes_at_most": "draws the line a few bytes lower",
        "test_keys_must_be_there_and_of_their_kind": "takes an empty key",
        f"{_WRONG_VALUE}[{{'SS': ['a', 'a']}}]": "takes it",
        f"{_WRONG_VALUE}[{{'N': '111111111111111111111111111111111111111'}}]": "takes it",
        f"{_WRONG_VALUE}[{{'N': '1e126'}}]": "takes it",
        "test_a_page_has_one_megabyte_at_most": "ends the page one item early",
        f"{_NO_PARTITION}[pk = :v OR sk = :v]": _UNCHECKED,
        f"{_NO_PARTITION}[pk = :v AND sk <> :v]": _UNCHECKED,
        "test_a_batch_has_its_limits_and_names_an_item_once": "writes an item twice",
        "test_a_transaction_with_a_known_token_is_not_made_again": "ignores the token",
        "test_a_token_belongs_to_one_transaction": "ignores the token",
        "test_updates_that_make_no_sense_are_refused_and_change_nothing[SET #map.x = :one, #map = :text]": "takes paths that overlap",
        # Scheduler
        "test_a_name_is_used_once": "answers with status 400",
        "test_a_repeated_creation_with_its_token_is_the_same_schedule": "ignores the token",
        "test_a_token_belongs_to_one_schedule": "ignores the token",
        "test_an_expression_that_is_none_is_refused": "takes anything",
        "test_what_makes_no_sense_is_refused": "takes anything",
        "test_a_name_has_64_plain_characters_at_most": "takes anything",
        "test_schedules_are_listed_by_prefix_and_in_pages": "lists them in no order and all at once",
        "test_groups_keep_names_apart_and_take_their_schedules_with_them": "makes a group twice",
        "test_a_schedule_needs_a_group_that_exists": "answers with an internal error",
    },
    "dynamodb-local": {},
    "elasticmq": {
        "test_a_message_has_one_mebibyte_at_most": "still has the old limit of 256 KiB",
        "test_attributes_count_towards_the_size": _OTHER_NAME,
        "test_a_batch_shares_one_mebibyte": _OTHER_NAME,
        "test_characters_that_xml_does_not_have_are_refused": _OTHER_NAME,
        "test_an_empty_body_is_refused": _OTHER_NAME,
        "test_a_batch_has_between_one_and_ten_entries_with_ids_of_their_own": "takes an empty one",
        "test_attributes_can_be_changed": "does not check the new value",
        "test_at_most_ten_messages_are_received": _OTHER_NAME,
        "test_one_id_in_two_groups_is_two_messages_when_the_scope_is_the_group": "does not know the scope",
        "test_a_handle_that_has_expired_deletes_nothing_and_is_an_error": "deletes the message",
        "test_the_handle_of_an_earlier_receive_is_an_error": _OTHER_NAME,
        "test_visibility_cannot_be_changed_with_a_handle_that_has_expired": "changes it",
        "test_deleting_twice_is_harmless": "does not know the handle any more",
        "test_the_name_of_a_fifo_queue_ends_in_fifo": _OTHER_NAME,
        "test_per_group_throughput_needs_deduplication_per_group": "takes any combination",
    },
}
