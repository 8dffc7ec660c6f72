//! What must be when everything went right for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate_group::response::GroupDetail;

use crate::client::{Place, Protocol};
use crate::world::World;

impl World {
    pub fn check_open(&self) -> Result<(), String> {
        let patience = Duration::from_secs(100);
        let forgotten = self.open.iter().find(|(_, open)| {
            !open.gone && open.arrived.is_some_and(|arrived| self.now > arrived + patience)
        });
        match forgotten {
            Some((token, open)) => Err(format!("{token:?} is never answered: {open:?}")),
            None => Ok(()),
        }
    }

    /// Every partition has exactly one owner.
    pub fn check_end(&mut self) -> Result<(), String> {
        for group in 0..self.groups.len() {
            let mut owners: BTreeMap<Place, usize> = BTreeMap::new();
            let members: Vec<usize> = (0..self.clients.len())
                .filter(|client| self.clients[*client].group == group && self.clients[*client].up)
                .collect();
            if members.is_empty() {
                continue;
            }
            for client in &members {
                for at in self.clients[*client].owned.keys() {
                    if let Some(before) = owners.insert(*at, *client) {
                        return Err(format!(
                            "in the end {at:?} of group {group} belongs to {before} and {client}"
                        ));
                    }
                }
            }
            let mut expected: BTreeSet<Place> = BTreeSet::new();
            if !members.iter().all(|client| self.reads_all(*client)) {
                expected.extend(self.places(group));
            }
            if members.iter().any(|client| self.reads_all(*client)) {
                let all = self.topics.0.values();
                expected.extend(all.flat_map(|t| (0..t.partitions).map(|n| (t.id, n))));
            }
            if let Some(at) = expected.iter().find(|at| !owners.contains_key(at)) {
                return Err(format!("in the end nobody in group {group} has {at:?}"));
            }
            if let Some(at) = owners.keys().find(|at| !expected.contains(at)) {
                return Err(format!("in the end group {group} still has {at:?}"));
            }
            let state = match self.view(group)? {
                GroupDetail::Classic(group) => group.state,
                GroupDetail::Consumer(group) => group.state,
            };
            if state != "Stable" {
                return Err(format!("in the end group {group} is {state}"));
            }
        }
        Ok(())
    }

    pub fn reads_all(&self, client: usize) -> bool {
        matches!(&self.clients[client].protocol, Protocol::Consumer(c) if c.reads_by_regex)
    }
}
