/** What the process is called by, for who looks for a program that we stand in for: killall(1), ps(1). */
import { writeFileSync } from 'node:fs';

export function nameProcess(program: string): void {
  try {
    writeFileSync('/proc/self/comm', program);
  } catch {
    // It is found by its number.
  }
}
