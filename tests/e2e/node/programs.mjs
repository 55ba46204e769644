// Runs programs one after the other in one process, because to start Node and to load the SDK is what costs. Prints one
// JSON line per program: its file, what it said, and what it failed with. Its tests start it: `node programs.mjs FILE...`.
import { pathToFileURL } from 'node:url';
import { format } from 'node:util';

const write = process.stdout.write.bind(process.stdout);
for (const file of process.argv.slice(2)) {
    let said = '';
    console.log = (...values) => void (said += format(...values) + '\n');
    process.stdout.write = (text) => Boolean((said += text));
    const failed = await import(pathToFileURL(file)).then(() => '', (error) => String(error?.stack ?? error));
    process.stdout.write = write;
    write(JSON.stringify({ file, said, failed }) + '\n');
}
