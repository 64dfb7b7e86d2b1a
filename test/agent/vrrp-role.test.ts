// Which words of keepalived's notify FIFO change the role.
import t from 'tap'
import { parseRoleChange, VrrpRole } from '../../src/agent/keepalived.js'

t.test('only words that report a state change the role', (t) => {
  const role = new VrrpRole(undefined)
  const update = (state: string): boolean => role.update(parseRoleChange(`INSTANCE "VI_1" ${state} 195`)!)
  t.strictSame([update('MASTER'), role.isMaster], [true, true])
  for (const word of ['BACKUP_PRIORITY', 'MASTER_PRIORITY', 'UNKNOWN', 'SOMETHING_NEW']) {
    t.equal(update(word), false, word)
    t.ok(role.isMaster, word)
  }
  t.equal(role.ignored, 4)
  t.equal(update('MASTER_RX_LOWER_PRI'), false)
  for (const word of ['BACKUP', 'FAULT', 'STOP', 'DELETED']) {
    t.ok(update(word), word)
    t.notOk(role.isMaster, word)
    t.ok(update('MASTER'))
  }
  t.end()
})
