//! The calls of a thread that still matter. It does not depend on history, so compaction never disconnects a call (L7).

use crate::history::call::Call;
use crate::id::CallId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Turn, then place in the turn: the order in which calls were made.
type Place = (i64, u32);

/// Open calls, active subscriptions, and whatever changed since the last commit.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    rows: BTreeMap<Place, Arc<Call>>,
    places: HashMap<CallId, Place>,
    changed: BTreeSet<Place>,
    /// Open calls of the last turn without a result: few, and asked for often.
    attached: Vec<CallId>,
    /// Calls that have ended since the last commit, whatever ended them.
    ended: Vec<CallId>,
}

impl Registry {
    /// The rows as the store has them; `None` if two of them share an id or a place.
    pub fn restore(calls: Vec<Call>) -> Option<Self> {
        let mut registry = Self::default();
        for call in calls {
            let place = (call.position, call.ordinal);
            if registry.places.insert(call.id.clone(), place).is_some()
                || registry.rows.insert(place, Arc::new(call)).is_some()
            {
                return None;
            }
        }
        let attached = registry.rows.values().filter(|call| call.is_attached());
        registry.attached = attached.map(|call| call.id.clone()).collect();
        Some(registry)
    }

    /// The calls of a new turn.
    pub fn open_turn(&mut self, calls: Vec<Call>) {
        for call in calls {
            let place = (call.position, call.ordinal);
            self.attached.push(call.id.clone());
            self.places.insert(call.id.clone(), place);
            self.changed.insert(place);
            self.rows.insert(place, Arc::new(call));
        }
    }

    pub fn get(&self, id: &CallId) -> Option<&Arc<Call>> {
        self.places.get(id).and_then(|place| self.rows.get(place))
    }

    /// Change a row. Nothing happens if there is none.
    pub fn update(&mut self, id: &CallId, change: impl FnOnce(&mut Call)) {
        let Some(place) = self.places.get(id) else { return };
        let Some(row) = self.rows.get_mut(place) else { return };
        let call = Arc::make_mut(row);
        let open = call.is_open();
        change(call);
        self.changed.insert(*place);
        if open && !call.is_open() {
            self.ended.push(id.clone());
        }
        if !call.is_attached() {
            self.attached.retain(|attached| attached != id);
        }
    }

    /// Oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.rows.values().filter(|call| call.is_open())
    }

    /// Oldest first.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.rows.values().filter(|call| call.subscription)
    }

    /// In the order of their turn.
    pub fn attached(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.attached.iter().filter_map(|id| self.get(id))
    }

    pub fn has_attached(&self) -> bool {
        !self.attached.is_empty()
    }

    /// In the order in which they ended.
    pub fn ended(&self) -> &[CallId] {
        &self.ended
    }

    /// What the next commit writes.
    pub fn changed(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.changed.iter().filter_map(|place| self.rows.get(place))
    }

    /// The changes are durable: forget them and the calls that are over.
    pub fn committed(&mut self) {
        self.ended.clear();
        for place in std::mem::take(&mut self.changed) {
            let over = |call: &Arc<Call>| !call.is_open() && !call.subscription;
            if self.rows.get(&place).is_some_and(over)
                && let Some(call) = self.rows.remove(&place)
            {
                self.places.remove(&call.id);
            }
        }
    }
}
