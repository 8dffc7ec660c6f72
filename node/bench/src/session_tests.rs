use super::*;
use crate::config::End;

const AMOUNT: Amount = Amount { records: 10, bytes: 2_000 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn plan(in_flight: usize) -> Plan {
    Plan {
        in_flight,
        warmup: Duration::ZERO,
        end: None,
        timeout: ms(1_000),
        quota: Arc::new(Quota::new(End::Time(ms(1)))),
        amount: Some(AMOUNT),
    }
}

fn closed(plan: Plan) -> Session {
    Session::new(plan, Pace::Closed)
}

#[test]
fn no_more_wait_than_are_allowed() {
    let mut session = closed(plan(3));
    for number in 0..3 {
        assert_eq!(session.poll_send(ms(0)), Next::Send(number));
    }
    assert_eq!(session.poll_send(ms(0)), Next::Full);
    session.handle_answer(0, ms(1), Ok(AMOUNT)).unwrap();
    assert_eq!(session.poll_send(ms(1)), Next::Send(3));
    assert_eq!(session.poll_send(ms(1)), Next::Full);
    assert_eq!((session.waiting(), session.answered()), (3, 1));
}

#[test]
fn answers_out_of_order_are_an_error() {
    let mut session = closed(plan(3));
    session.poll_send(ms(0));
    session.poll_send(ms(0));
    let halt = session.handle_answer(1, ms(1), Ok(AMOUNT));
    assert_eq!(halt, Err(Halt::OutOfOrder { expected: 0, found: 1 }));
}

#[test]
fn an_answer_to_nothing_is_an_error() {
    let mut session = closed(plan(3));
    let halt = session.handle_answer(0, ms(1), Ok(AMOUNT));
    assert_eq!(halt, Err(Halt::OutOfOrder { expected: -1, found: 0 }));
}

#[test]
fn a_load_by_records_sends_just_enough() {
    let quota = Arc::new(Quota::new(End::Records(25)));
    let mut session = closed(Plan { quota, ..plan(100) });
    let sent = std::iter::repeat_with(|| session.poll_send(ms(0)));
    assert_eq!(sent.take_while(|next| *next != Next::Done).count(), 3);
    for number in 0..3 {
        assert!(!session.is_done());
        session.handle_answer(number, ms(5), Ok(AMOUNT)).unwrap();
    }
    assert!(session.is_done());
    let tally = session.finish().unwrap();
    assert_eq!((tally.requests, tally.moved.records), (3, 30));
    assert_eq!((tally.unsent, tally.last), (0, ms(5)));
}

#[test]
fn where_answers_tell_the_amount_they_end_the_load() {
    let quota = Arc::new(Quota::new(End::Records(25)));
    let mut session = closed(Plan { quota, amount: None, ..plan(1) });
    for number in 0..3 {
        assert_eq!(session.poll_send(ms(0)), Next::Send(number));
        session.handle_answer(number as i32, ms(1), Ok(AMOUNT)).unwrap();
    }
    assert_eq!(session.poll_send(ms(1)), Next::Done);
}

#[test]
fn at_a_rate_requests_go_out_when_they_are_due() {
    let mut session = Session::new(plan(5), Pace::open(100.0, 0, 1));
    assert_eq!(session.poll_send(ms(0)), Next::Send(0));
    assert_eq!(session.poll_send(ms(0)), Next::At(ms(10)));
    assert_eq!(session.poll_send(ms(9)), Next::At(ms(10)));
    assert_eq!(session.poll_send(ms(10)), Next::Send(1));
    assert_eq!(session.poll_send(ms(10)), Next::At(ms(20)));
}

#[test]
fn time_counts_from_when_a_request_was_due_not_from_when_it_was_sent() {
    let mut session = Session::new(plan(1), Pace::open(100.0, 0, 1));
    assert_eq!(session.poll_send(ms(0)), Next::Send(0));
    // The broker stalls for half a second; meanwhile fifty more requests fall due.
    assert_eq!(session.poll_send(ms(500)), Next::Full);
    session.handle_answer(0, ms(500), Ok(AMOUNT)).unwrap();
    assert_eq!(session.poll_send(ms(500)), Next::Send(1), "due at 10 ms");
    session.handle_answer(1, ms(501), Ok(AMOUNT)).unwrap();
    let tally = session.finish().unwrap();
    let told = tally.latencies.percentiles();
    assert!((told.max - 500_000.0).abs() < 1_000.0, "{told:?}");
    assert!((told.p50 - 491_000.0).abs() < 1_000.0, "the stall shows in the next: {told:?}");
    let late = tally.late.percentiles();
    assert!((late.max - 490_000.0).abs() < 1_000.0, "{late:?}");
}

#[test]
fn what_was_due_and_not_sent_is_told() {
    let mut session =
        Session::new(Plan { end: Some(ms(1_000)), ..plan(1) }, Pace::open(100.0, 0, 1));
    assert_eq!(session.poll_send(ms(0)), Next::Send(0));
    session.handle_answer(0, ms(995), Ok(AMOUNT)).unwrap();
    assert_eq!(session.poll_send(ms(995)), Next::Send(1));
    assert_eq!(session.poll_send(ms(1_000)), Next::Done);
    session.handle_answer(1, ms(1_001), Ok(AMOUNT)).unwrap();
    assert_eq!(session.finish().unwrap().unsent, 98);
}

#[test]
fn a_load_that_ends_early_tells_what_was_due_by_then() {
    let mut session =
        Session::new(Plan { end: Some(ms(1_000)), ..plan(5) }, Pace::open(100.0, 0, 1));
    assert_eq!(session.poll_send(ms(0)), Next::Send(0));
    session.end(ms(10));
    assert_eq!(session.poll_send(ms(20)), Next::Done);
    session.handle_answer(0, ms(20), Ok(AMOUNT)).unwrap();
    assert_eq!(session.finish().unwrap().unsent, 0);
}

#[test]
fn the_last_wait_is_no_longer_than_the_load() {
    let mut session = Session::new(Plan { end: Some(ms(15)), ..plan(5) }, Pace::open(100.0, 0, 1));
    session.poll_send(ms(0));
    session.poll_send(ms(10));
    assert_eq!(session.poll_send(ms(10)), Next::At(ms(15)));
    assert_eq!(session.poll_send(ms(15)), Next::Done);
}

#[test]
fn the_warm_up_is_neither_counted_nor_taken_from_the_quota() {
    let quota = Arc::new(Quota::new(End::Records(20)));
    let mut session = closed(Plan { warmup: ms(100), quota, ..plan(1) });
    for number in 0..5 {
        assert_eq!(session.poll_send(ms(10 * number)), Next::Send(number));
        session.handle_answer(number as i32, ms(10 * number + 9), Ok(AMOUNT)).unwrap();
    }
    for number in 5..7 {
        assert_eq!(session.poll_send(ms(100 + number)), Next::Send(number));
        session.handle_answer(number as i32, ms(101 + number), Ok(AMOUNT)).unwrap();
    }
    assert_eq!(session.poll_send(ms(110)), Next::Done);
    let tally = session.finish().unwrap();
    assert_eq!((tally.requests, tally.moved.records), (2, 20));
    assert!(tally.latencies.percentiles().max < 1_100.0);
}

#[test]
fn errors_are_counted_by_name_and_do_not_end_what_works() {
    let mut session = closed(plan(1));
    for number in 0..100 {
        session.poll_send(ms(number));
        let refused = Err("NOT_ENOUGH_REPLICAS".to_owned());
        let outcome = if number % 2 == 0 { Ok(AMOUNT) } else { refused };
        session.handle_answer(number as i32, ms(number), outcome).unwrap();
    }
    let tally = session.finish().unwrap();
    assert_eq!(tally.requests, 50);
    assert_eq!(tally.errors, BTreeMap::from([("NOT_ENOUGH_REPLICAS".to_owned(), 50)]));
}

#[test]
fn a_load_that_is_refused_throughout_is_given_up() {
    let mut session = closed(plan(1));
    let mut halted = None;
    for number in 0..1_000 {
        session.poll_send(ms(0));
        let refused = Err("TOPIC_AUTHORIZATION_FAILED".to_owned());
        if let Err(halt) = session.handle_answer(number, ms(0), refused) {
            halted = Some((number, halt));
            break;
        }
    }
    let refused = Halt::Refused { error: "TOPIC_AUTHORIZATION_FAILED".to_owned() };
    assert_eq!(halted, Some((19, refused)));
}

#[test]
fn a_short_load_that_was_refused_is_an_error_too() {
    let mut session = closed(plan(1));
    session.poll_send(ms(0));
    session.handle_answer(0, ms(0), Err("MESSAGE_TOO_LARGE".to_owned())).unwrap();
    let refused = Halt::Refused { error: "MESSAGE_TOO_LARGE".to_owned() };
    assert_eq!(session.finish().unwrap_err(), refused);
}

#[test]
fn kinds_of_errors_are_bounded() {
    let mut session = closed(plan(1));
    session.poll_send(ms(0));
    session.handle_answer(0, ms(0), Ok(AMOUNT)).unwrap();
    for number in 1..=1_000 {
        session.poll_send(ms(0));
        session.handle_answer(number, ms(0), Err(format!("error {number}"))).unwrap();
    }
    let tally = session.finish().unwrap();
    assert_eq!(tally.errors.len(), MAX_ERRORS + 1);
    assert_eq!(tally.errors[OTHERS], 1_000 - MAX_ERRORS as u64);
}

#[test]
fn the_oldest_request_tells_when_to_give_up() {
    let mut session = closed(plan(2));
    assert_eq!(session.poll_timeout(), None);
    session.poll_send(ms(7));
    session.poll_send(ms(9));
    assert_eq!(session.poll_timeout(), Some(ms(1_007)));
    session.handle_answer(0, ms(10), Ok(AMOUNT)).unwrap();
    assert_eq!(session.poll_timeout(), Some(ms(1_009)));
}

#[test]
fn correlation_ids_stay_positive_and_begin_anew() {
    assert_eq!(correlation_id(0), 0);
    assert_eq!(correlation_id(i32::MAX as u64), i32::MAX);
    assert_eq!(correlation_id(i32::MAX as u64 + 1), 0);
}
