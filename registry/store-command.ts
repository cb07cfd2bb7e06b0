/** `nexodus-registry store …`: copies, backs up and restores the records of a registry. */
import { Command } from 'commander'
import { configOption } from './config-file.ts'
import { parseLocation, stateDirectoryOption, storeOption } from './store-options.ts'

/** Loaded only when one of them is wanted. */
const actions = () => import('./store-actions.ts')

export function storeCommand(): Command {
  const command = new Command('store').description('copy, back up and restore the records')
  command
    .command('copy')
    .description('copy all records into an empty store; no registry may run on either')
    .argument('<from>', 'a URL as of --store', (text) => parseLocation('FROM', text))
    .argument('<to>', 'a URL as of --store', (text) => parseLocation('TO', text))
    .action(async (from, to) => (await actions()).copy(from, to))
  command
    .command('backup')
    .description('write all records and key files to a file, also while the registry runs')
    .argument('<file>', 'is made, and holds private keys')
    .addOption(configOption())
    .addOption(stateDirectoryOption())
    .addOption(storeOption())
    .action(async (file, place) => (await actions()).backup(file, place))
  command
    .command('restore')
    .description('put a backup in place; the registry must be stopped')
    .argument('<file>', 'a backup')
    .addOption(configOption())
    .addOption(stateDirectoryOption())
    .addOption(storeOption())
    .action(async (file, place) => (await actions()).restore(file, place))
  command
    .command('make-key')
    .description('make a file for --key-encryption-key-file')
    .argument('<file>', 'is made')
    .action(async (file) => (await actions()).makeKey(file))
  command
    .command('change-key')
    .description(
      'seal the signing keys of a store with another key; may be broken off and run again',
    )
    .argument('<old>', 'the file of --key-encryption-key-file until now')
    .argument('<new>', 'another one, of make-key; every registry that runs must have both')
    .addOption(configOption())
    .addOption(stateDirectoryOption())
    .addOption(storeOption())
    .action(async (old, next, place) => (await actions()).changeKey(old, next, place))
  return command
}
