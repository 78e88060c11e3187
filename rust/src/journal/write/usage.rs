//! What completions have used: turns, tokens by kind and costs, by day, thread and model. Days are of UTC.

use crate::delta::{Delta, Used};
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use rusqlite::params;

const DAY: i64 = 86_400_000;

/// Behind an `INSERT` of all columns: to what is there already, it is added.
const ADD: &str = "ON CONFLICT (day, thread, model) DO UPDATE SET
  turns = turns + excluded.turns, input = input + excluded.input, output = output + excluded.output,
  cache_read = cache_read + excluded.cache_read, cache_write = cache_write + excluded.cache_write, cost = cost + excluded.cost";

/// What the turns of a commit have used.
pub fn add(group: &Group<'_>, delta: &Delta, key: i64) -> Result<(), Failure> {
    for Used { model, turns, tokens: [input, output, read, write], cost } in &delta.used {
        let day = delta.updated_at.div_euclid(DAY);
        let sql = format!("INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) {ADD}");
        group.execute(&sql, params![day, key, model, turns, input, output, read, write, cost])?;
    }
    Ok(())
}

/// A tree is deleted for good: what it has used stays, and is nobody's.
pub fn fold(group: &Group<'_>, root: &str) -> Result<(), Failure> {
    let sql = format!(
        "INSERT INTO usage
           SELECT day, 0, model, sum(turns), sum(input), sum(output), sum(cache_read), sum(cache_write), sum(cost)
           FROM usage WHERE thread IN (SELECT key FROM threads WHERE root = ?1) GROUP BY day, model {ADD}"
    );
    group.execute(&sql, [root])?;
    forget(group, root)
}

/// A tree goes to live elsewhere, and takes it along.
pub fn forget(group: &Group<'_>, root: &str) -> Result<(), Failure> {
    group.execute("DELETE FROM usage WHERE thread IN (SELECT key FROM threads WHERE root = ?1)", [root])?;
    Ok(())
}
