import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/**
 * Reads lines of "message version hexadecimal", has Kafka's own class of that message read and write
 * each, and prints what it wrote in the same form. Fails at the first one that is not the same.
 */
public class Judge {
    private static final String[] PACKAGES = {
        "org.apache.kafka.common.message.",
        "org.apache.kafka.common.metadata.",
        "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.transaction.generated.",
        "org.apache.kafka.storage.internals.log.generated.",
        "org.apache.kafka.server.log.remote.metadata.storage.generated.",
        "org.apache.kafka.storage.internals.generated.",
        "org.apache.kafka.storage.internals.log.",
    };

    private static Message make(String name) throws ReflectiveOperationException {
        for (String inPackage : PACKAGES) {
            for (String suffix : new String[] {"Data", ""}) {
                try {
                    return (Message) Class.forName(inPackage + name + suffix)
                        .getDeclaredConstructor().newInstance();
                } catch (ClassNotFoundException e) {
                    // The next package may have it.
                }
            }
        }
        throw new ClassNotFoundException(name);
    }

    public static void main(String[] arguments) throws Exception {
        StringBuilder judged = new StringBuilder();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] words = line.split(" ", 3);
            short version = Short.parseShort(words[1]);
            byte[] given = HexFormat.of().parseHex(words[2]);
            Message message = make(words[0]);
            ByteBuffer in = ByteBuffer.wrap(given);
            message.read(new ByteBufferAccessor(in), version);
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBuffer out = ByteBuffer.allocate(message.size(cache, version));
            message.write(new ByteBufferAccessor(out), cache, version);
            String written = HexFormat.of().formatHex(out.array());
            if (in.hasRemaining() || !Arrays.equals(out.array(), given)) {
                System.err.println("Kafka reads and writes otherwise:\n" + line + "\n" + written);
                System.exit(1);
            }
            judged.append(words[0]).append(' ').append(version).append(' ').append(written).append('\n');
        }
        System.out.print(judged);
    }
}
