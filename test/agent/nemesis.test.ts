// A nemesis in virtual time kills, pauses, partitions, duplicates, reorders and forges at random. The invariant: an agent is
// not ready before its limit while a ready agent with more than twice its connections can be heard.
import t from 'tap'
import { runNemesis } from '../fixtures/support/agent-nemesis.js'

t.test('no agent is ready too early, whatever the nemesis does', (t) => {
  const outcomes = { complete: 0, incomplete: 0, alone: 0 }
  for (let seed = 1; seed <= 200; seed++) {
    const { violations, outcome } = runNemesis(seed)
    if (violations.length > 0) t.strictSame(violations, [], `seed ${seed}`)
    outcomes[outcome]++
  }
  t.ok(outcomes.complete > 30, JSON.stringify(outcomes))
  t.ok(outcomes.complete < 200, JSON.stringify(outcomes))
  t.end()
})
