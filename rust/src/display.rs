//! A toolset's `displayScript`: untrusted Rhai that turns arguments into one line (DISC-8). It gets a map, no I/O, and little of
//! anything: operations, depth, sizes and time are capped (B4).

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine, Map, OptimizationLevel, Scope};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const SCRIPT_BYTES: usize = 16 * 1024;
const ARGUMENT_BYTES: usize = 1024 * 1024;
const OUTPUT_BYTES: usize = 4 * 1024;
const OPERATIONS: u64 = 50_000;
const TIME: Duration = Duration::from_millis(50);
/// Looking at the clock at every operation would cost more than most operations.
const OPERATIONS_PER_LOOK: u64 = 64;

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The script's string for these arguments (a JSON object); `None` on any failure.
pub fn display(script: &str, arguments: &[u8]) -> Option<String> {
    if script.len() > SCRIPT_BYTES || arguments.len() > ARGUMENT_BYTES {
        return None;
    }
    let args: Map = serde_json::from_slice::<serde_json::Value>(arguments).ok().and_then(map)?;
    DEADLINE.set(Some(Instant::now() + TIME));
    // A bug in the interpreter is a failure of the script, not of the slice.
    let text = catch_unwind(AssertUnwindSafe(|| evaluate(script, args)));
    DEADLINE.set(None);
    text.ok().flatten().filter(|text| text.len() <= OUTPUT_BYTES)
}

fn evaluate(script: &str, args: Map) -> Option<String> {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(sandbox);
    let mut scope = Scope::new();
    scope.push_constant("args", args);
    let ast = engine.compile(script).ok()?;
    engine.eval_ast_with_scope::<Dynamic>(&mut scope, &ast).ok()?.into_string().ok()
}

/// Nothing but arithmetic, strings, arrays and maps: the packages with `sleep`, time and `eval` are left out.
fn sandbox() -> Engine {
    let mut engine = Engine::new_raw();
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    engine.disable_symbol("eval");
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_max_operations(OPERATIONS);
    engine.set_max_call_levels(16);
    engine.set_max_expr_depths(32, 16);
    engine.set_max_variables(64);
    engine.set_max_functions(16);
    engine.set_max_string_size(ARGUMENT_BYTES);
    engine.set_max_array_size(10_000);
    engine.set_max_map_size(10_000);
    engine.on_progress(|operations| {
        let look = operations % OPERATIONS_PER_LOOK == 0;
        let late = look && DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline);
        late.then_some(Dynamic::UNIT)
    });
    engine
}

fn map(value: serde_json::Value) -> Option<Map> {
    let serde_json::Value::Object(fields) = value else { return None };
    Some(fields.into_iter().map(|(key, value)| (key.into(), dynamic(value))).collect())
}

fn dynamic(value: serde_json::Value) -> Dynamic {
    match value {
        serde_json::Value::Null => Dynamic::UNIT,
        serde_json::Value::Bool(value) => value.into(),
        serde_json::Value::Number(value) => match value.as_i64() {
            Some(value) => value.into(),
            None => value.as_f64().map_or(Dynamic::UNIT, Dynamic::from),
        },
        serde_json::Value::String(value) => value.into(),
        serde_json::Value::Array(items) => items.into_iter().map(dynamic).collect::<Vec<_>>().into(),
        serde_json::Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key.into(), dynamic(value))).collect::<Map>().into()
        }
    }
}
