//! How much waits in RabbitMQ. It tells no age, and counts nothing that is on loan; what is on loan to this node the
//! session knows.

use jackfield_bridge::{Depth, QueueError};

use super::session::Session;
use super::topology::Topology;

/// Looks at every queue.
pub(super) async fn read(session: &Session, topology: &Topology) -> Result<Depth, QueueError> {
    let (mut commands, mut events) = (Vec::new(), Vec::new());
    for partition in 0..topology.partitions {
        commands.push(topology.commands_of(partition));
        events.push(format!("{}.{partition}", topology.events()));
    }
    let dead = vec![topology.dead()];
    let [commands, events, dead] = session.lengths([commands, events, dead]).await?;
    Ok(Depth { commands: commands + session.on_loan(), events, dead, oldest: None })
}
